//! Plain keys of a standalone node.

use std::collections::BTreeMap;

use dynamokv::rpc::pb::raw_kv_client::RawKvClient;
use dynamokv::rpc::pb::{RawDeleteRequest, RawPutRequest, RawScanRequest};
use tonic::Status;
use tonic::transport::Channel;

use crate::rounds;
use crate::support::dice::Dice;
use crate::support::process::Process;

const FAMILIES: [&str; 4] = ["default", "lock", "write", "more"];
const WRITERS: u8 = 4;
const KEYS_OF_A_WRITER: u64 = 48;
const VALUE_BYTES_MAX: u64 = 16 << 10;

/// A family and a key in it.
type Place = (&'static str, Vec<u8>);
type Content = Option<Vec<u8>>;

/// What may stand in one place.
#[derive(Default)]
struct Known {
    /// What was acknowledged last.
    acknowledged: Content,
    /// What was tried after that, without an answer.
    tried: Option<Content>,
}

#[derive(Default)]
pub struct Writer {
    name: u8,
    known: BTreeMap<Place, Known>,
    client: Option<(String, RawKvClient<Channel>)>,
}

pub struct Keys(Vec<Writer>);

impl Default for Keys {
    fn default() -> Self {
        let writer = |name| Writer {
            name,
            ..Writer::default()
        };
        Self((0..WRITERS).map(writer).collect())
    }
}

impl rounds::Keys for Keys {
    type Writer = Writer;

    const OPTIONS: &'static [&'static str] = &["--standalone", "--families", "more"];

    async fn check(&mut self, node: &Process) {
        let mut found = read_all(&node.address).await;
        for (place, known) in self.0.iter_mut().flat_map(|writer| &mut writer.known) {
            let content = found.remove(place);
            let tried = known.tried.take();
            assert!(
                content == known.acknowledged || Some(&content) == tried.as_ref(),
                "{place:?} holds {:?}; acknowledged was {:?}, tried {:?} (bytes, without their content)",
                content.as_ref().map(Vec::len),
                known.acknowledged.as_ref().map(Vec::len),
                tried.map(|content| content.map(|bytes| bytes.len())),
            );
            known.acknowledged = content;
        }
        assert!(found.is_empty(), "nobody wrote {:?}", found.keys());
    }

    fn writers(&mut self) -> Vec<Writer> {
        std::mem::take(&mut self.0)
    }

    fn take_back(&mut self, writer: Writer) {
        self.0.push(writer);
    }

    async fn write(writer: &mut Writer, address: &str, dice: &mut Dice) -> Result<(), Status> {
        let mut client = writer.client(address);
        let family = FAMILIES[dice.below(FAMILIES.len() as u64) as usize];
        let key = vec![writer.name, dice.below(KEYS_OF_A_WRITER) as u8];
        let content = (!dice.one_in(5)).then(|| dice.bytes(VALUE_BYTES_MAX));
        let known = writer.known.entry((family, key.clone())).or_default();
        known.tried = Some(content.clone());
        let (family, key) = (family.to_owned(), key.into());
        match content.clone() {
            Some(value) => {
                let value = value.into();
                let put = RawPutRequest { family, key, value };
                client.raw_put(put).await.map(|_| ())?;
            }
            None => {
                let delete = RawDeleteRequest { family, key };
                client.raw_delete(delete).await.map(|_| ())?;
            }
        }
        known.acknowledged = content;
        known.tried = None;
        Ok(())
    }
}

impl Writer {
    fn client(&mut self, address: &str) -> RawKvClient<Channel> {
        match &self.client {
            Some((known, client)) if known == address => client.clone(),
            _ => {
                let client = connect(address);
                self.client = Some((address.to_owned(), client.clone()));
                client
            }
        }
    }
}

fn connect(address: &str) -> RawKvClient<Channel> {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    RawKvClient::new(channel.connect_lazy())
}

async fn read_all(address: &str) -> BTreeMap<Place, Vec<u8>> {
    let mut client = connect(address);
    let mut found = BTreeMap::new();
    for family in FAMILIES {
        let scan = RawScanRequest {
            family: family.to_owned(),
            ..RawScanRequest::default()
        };
        let mut pages = client.raw_scan(scan).await.unwrap().into_inner();
        while let Some(page) = pages.message().await.unwrap() {
            let pairs = page.pairs.into_iter();
            found.extend(pairs.map(|pair| ((family, pair.key.to_vec()), pair.value.to_vec())));
        }
    }
    found
}
