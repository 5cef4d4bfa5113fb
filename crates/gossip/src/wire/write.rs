//! Where bytes are written to, or only counted.

/// Takes the parts of a message.
pub(crate) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    fn varint(&mut self, mut value: u64) {
        loop {
            let low = (value & 0x7F) as u8;
            value >>= 7;
            if value == 0 {
                return self.bytes(&[low]);
            }
            self.bytes(&[low | 0x80]);
        }
    }

    fn fixed64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    fn fixed32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn block(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes(bytes);
    }

    fn text(&mut self, text: &str) {
        self.block(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T))
    where
        Self: Sized,
    {
        self.varint(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    fn option<T>(&mut self, item: Option<&T>, write: impl Fn(&mut Self, &T))
    where
        Self: Sized,
    {
        self.varint(u64::from(item.is_some()));
        if let Some(item) = item {
            write(self, item);
        }
    }

    /// Many items of one size.
    fn repeat(&mut self, count: usize, _size: usize, write: impl Fn(&mut Self, usize))
    where
        Self: Sized,
    {
        for index in 0..count {
            write(self, index);
        }
    }
}

impl Sink for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts only.
#[derive(Default)]
pub(crate) struct Count(pub(crate) usize);

impl Count {
    pub(crate) fn of(write: impl FnOnce(&mut Count)) -> usize {
        let mut count = Count::default();
        write(&mut count);
        count.0
    }
}

impl Sink for Count {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn repeat(&mut self, count: usize, size: usize, _write: impl Fn(&mut Self, usize)) {
        self.0 += count * size;
    }
}
