//! The wire form of messages: compact, documented here, and the same for every transport.
//!
//! A message is its header, its kind and its fields, in the order of their declaration:
//!
//! - integers are varints of 7 bits, the least significant first; ids, sums and random numbers are 8 (folded sums 4) bytes,
//!   little-endian; durations are milliseconds, the interval microseconds;
//! - a text, a list or a block of bytes begins with its length; an option with 0 or 1; a heartbeat is 2 bytes and 1 for its age;
//! - the header is a block whose first field is the format, so that a newer format is known for what it is;
//! - bytes after the last known field, of the header or the message, are skipped: later versions may append.

mod facts;
mod read;
mod write;

use std::time::Duration;

use dynamokv_ring::NodeId;

use crate::{
    Ack, Beat, Beats, BucketRoster, Delta, Digest, Error, FORMAT_OLDEST, FORMAT_VERSION, Header,
    KeySpan, Message, News, Probe, Profile, Result, Status, Syn, SynAck, Versioned, Vouch,
};

pub(crate) use facts::{read_facts, write_facts};
use facts::{read_part, read_state, write_part, write_state};
use read::Reader;
pub(crate) use write::{Count, Sink};

impl Message {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        write_message(&mut bytes, self);
        bytes
    }

    /// How many bytes [`encode`](Self::encode) gives. O(deltas), without encoding.
    pub fn encoded_len(&self) -> usize {
        Count::of(|sink| write_message(sink, self))
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] and [`Error::OlderFormat`] for a format that is not spoken here; [`Error::Malformed`], naming the
    /// field, for bytes that are no message.
    pub fn decode(bytes: &[u8]) -> Result<Message> {
        let mut reader = Reader::new(bytes);
        let header = read_header(&mut reader)?;
        Ok(match reader.varint("kind")? {
            1 => Message::Syn(Syn {
                header,
                view: reader.fixed64("view")?,
                buckets: reader.list("buckets", 4, |r| r.fixed32("buckets"))?,
                beats: read_beats(&mut reader)?,
                facts: read_state(&mut reader)?,
            }),
            2 => Message::SynAck(SynAck {
                header,
                spans: reader.list("spans", 16, read_span)?,
                digests: reader.list("digests", 11, read_digest)?,
                beats: read_beats(&mut reader)?,
                facts: read_state(&mut reader)?,
                part: reader.option("part", read_part)?,
            }),
            3 => Message::Ack(Ack {
                header,
                deltas: reader.list("deltas", 12, read_delta)?,
                wanted: reader.list("wanted", 11, read_digest)?,
                part: reader.option("part", read_part)?,
            }),
            4 => Message::Ping(header),
            5 => Message::Pong(header),
            6 => Message::Probe(Probe {
                header,
                target: reader.id("target")?,
            }),
            7 => Message::Vouch(Vouch {
                header,
                target: reader.id("target")?,
                generation: reader.varint("generation")?,
                heartbeat: reader.varint("heartbeat")?,
            }),
            kind => return Err(Error::malformed("kind of message", &kind.to_string())),
        })
    }
}

impl Delta {
    /// Its size in a message.
    pub(crate) fn encoded_len(&self) -> usize {
        Count::of(|sink| write_delta(sink, self))
    }
}

impl Digest {
    /// Its size in a message.
    pub(crate) fn encoded_len(&self) -> usize {
        Count::of(|sink| write_digest(sink, self))
    }
}

/// The size of a key and its value in a delta, or a little more.
pub(crate) fn item_len(key: &str, value: &Versioned) -> usize {
    Count::of(|sink| {
        sink.text(key);
        sink.text(&value.value);
        sink.varint(value.version);
    })
}

fn write_message(sink: &mut impl Sink, message: &Message) {
    write_header(sink, message.header());
    match message {
        Message::Syn(syn) => {
            sink.varint(1);
            sink.fixed64(syn.view);
            sink.list(&syn.buckets, |sink, sum| sink.fixed32(*sum));
            write_beats(sink, &syn.beats);
            write_state(sink, &syn.facts);
        }
        Message::SynAck(syn_ack) => {
            sink.varint(2);
            sink.list(&syn_ack.spans, |sink, span| {
                sink.fixed64(span.first);
                sink.fixed64(span.last);
            });
            sink.list(&syn_ack.digests, write_digest);
            write_beats(sink, &syn_ack.beats);
            write_state(sink, &syn_ack.facts);
            sink.option(syn_ack.part.as_ref(), write_part);
        }
        Message::Ack(ack) => {
            sink.varint(3);
            sink.list(&ack.deltas, write_delta);
            sink.list(&ack.wanted, write_digest);
            sink.option(ack.part.as_ref(), write_part);
        }
        Message::Ping(_) => sink.varint(4),
        Message::Pong(_) => sink.varint(5),
        Message::Probe(probe) => {
            sink.varint(6);
            sink.fixed64(probe.target.0);
        }
        Message::Vouch(vouch) => {
            sink.varint(7);
            sink.fixed64(vouch.target.0);
            sink.varint(vouch.generation);
            sink.varint(vouch.heartbeat);
        }
    }
}

fn write_header(sink: &mut impl Sink, header: &Header) {
    let fields = |sink: &mut dyn Sink| {
        sink.varint(header.format.into());
        sink.text(&header.cluster_name);
        sink.varint(u64::from(header.cluster_id.is_some()));
        if let Some(id) = header.cluster_id {
            sink.fixed64(id);
        }
        sink.fixed64(header.from.0);
        sink.varint(header.generation);
        sink.varint(header.heartbeat);
        sink.text(&header.address);
        sink.fixed64(header.process);
        sink.varint(u64::try_from(header.interval.as_micros()).unwrap_or(u64::MAX));
    };
    let mut length = Count::default();
    fields(&mut length);
    sink.varint(length.0 as u64);
    fields(sink);
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header> {
    let mut reader = Reader::new(reader.block("header")?);
    let format = reader.small("format")?;
    if format > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            ours: FORMAT_VERSION,
            theirs: format,
        });
    }
    if format < FORMAT_OLDEST {
        return Err(Error::OlderFormat {
            oldest: FORMAT_OLDEST,
            theirs: format,
        });
    }
    Ok(Header {
        format,
        cluster_name: reader.text("cluster_name")?,
        cluster_id: reader.option("cluster_id", |r| r.fixed64("cluster_id"))?,
        from: reader.id("from")?,
        generation: reader.varint("generation")?,
        heartbeat: reader.varint("heartbeat")?,
        address: reader.text("address")?,
        process: reader.fixed64("process")?,
        interval: Duration::from_micros(reader.varint("interval")?),
    })
}

fn write_beats(sink: &mut impl Sink, beats: &Beats) {
    sink.varint(beats.buckets.into());
    sink.varint(beats.first.into());
    sink.list(&beats.rosters, |sink, roster| {
        sink.fixed32(roster.sum);
        sink.varint(roster.nodes.into());
    });
    sink.varint(beats.beats.len() as u64);
    sink.repeat(beats.beats.len(), 3, |sink, index| {
        if let Some(beat) = beats.beats.get(index) {
            sink.bytes(&beat.number.to_le_bytes());
            sink.bytes(&[beat.age]);
        }
    });
}

fn read_beats(reader: &mut Reader<'_>) -> Result<Beats> {
    Ok(Beats {
        buckets: reader.small("beats.buckets")?,
        first: reader.small("beats.first")?,
        rosters: reader.list("beats.rosters", 5, |r| {
            let sum = r.fixed32("beats.sum")?;
            Ok(BucketRoster {
                sum,
                nodes: r.small("beats.nodes")?,
            })
        })?,
        beats: reader.list("beats", 3, |r| {
            let [low, high, age] = r.array("beats")?;
            Ok(Beat {
                number: u16::from_le_bytes([low, high]),
                age,
            })
        })?,
    })
}

fn read_span(reader: &mut Reader<'_>) -> Result<KeySpan> {
    let first = reader.fixed64("spans.first")?;
    let last = reader.fixed64("spans.last")?;
    Ok(KeySpan { first, last })
}

fn write_digest(sink: &mut impl Sink, digest: &Digest) {
    sink.fixed64(digest.id.0);
    sink.varint(digest.generation);
    sink.varint(digest.version);
    sink.varint(u64::from(digest.left));
}

fn read_digest(reader: &mut Reader<'_>) -> Result<Digest> {
    Ok(Digest {
        id: reader.id("digest.id")?,
        generation: reader.varint("digest.generation")?,
        version: reader.varint("digest.version")?,
        left: reader.flag("digest.left")?,
    })
}

fn write_delta(sink: &mut impl Sink, delta: &Delta) {
    sink.fixed64(delta.id.0);
    sink.varint(delta.generation);
    sink.varint(delta.heartbeat);
    sink.bytes(&[delta.age]);
    match &delta.news {
        News::Left { remember } => {
            sink.varint(1);
            sink.varint(u64::try_from(remember.as_millis()).unwrap_or(u64::MAX));
        }
        News::Writes {
            since,
            upto,
            profile,
            kv,
        } => {
            sink.varint(0);
            sink.varint(*since);
            sink.varint(*upto);
            sink.option(profile.as_ref(), |sink, (profile, version)| {
                write_profile(sink, profile);
                sink.varint(*version);
            });
            sink.list(kv, |sink, (key, versioned)| {
                sink.text(key);
                sink.text(&versioned.value);
                sink.varint(versioned.version);
            });
        }
    }
}

fn read_delta(reader: &mut Reader<'_>) -> Result<Delta> {
    let id = reader.id("delta.id")?;
    let generation = reader.varint("delta.generation")?;
    let heartbeat = reader.varint("delta.heartbeat")?;
    let [age] = reader.array("delta.age")?;
    let news = if reader.flag("delta.left")? {
        News::Left {
            remember: Duration::from_millis(reader.varint("delta.remember")?),
        }
    } else {
        News::Writes {
            since: reader.varint("delta.since")?,
            upto: reader.varint("delta.upto")?,
            profile: reader.option("delta.profile", |r| {
                let profile = read_profile(r)?;
                Ok((profile.into(), r.varint("delta.profile_version")?))
            })?,
            kv: reader.list("delta.kv", 3, |r| {
                let key = r.text("delta.key")?;
                let value = r.text("delta.value")?;
                let version = r.varint("delta.kv_version")?;
                Ok((key, Versioned { value, version }))
            })?,
        }
    };
    Ok(Delta {
        id,
        generation,
        heartbeat,
        age,
        news,
    })
}

fn write_profile(sink: &mut (impl Sink + ?Sized), profile: &Profile) {
    sink.text(&profile.name);
    sink.text(&profile.address);
    sink.text(profile.zone.as_str());
    sink.varint(profile.weight.get().into());
    sink.varint(profile.status.number());
}

fn read_profile(reader: &mut Reader<'_>) -> Result<Profile> {
    Ok(Profile {
        name: reader.text("profile.name")?,
        address: reader.text("profile.address")?,
        zone: reader.text("profile.zone")?.into(),
        weight: reader.weight("profile.weight")?,
        status: {
            let number = reader.varint("profile.status")?;
            let status = Status::ALL
                .into_iter()
                .find(|status| status.number() == number);
            status.ok_or_else(|| Error::malformed("profile.status", &number.to_string()))?
        },
    })
}

impl Reader<'_> {
    fn id(&mut self, field: &'static str) -> Result<NodeId> {
        self.fixed64(field).map(NodeId)
    }
}
