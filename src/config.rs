//! Settings of a node, checked before anything starts.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynamokv_handoff::{DeliveryConfig, HintBounds, TransferConfig};
use dynamokv_ring::NodeId;
use dynamokv_rpc::{PeersConfig, ServerConfig};
use dynamokv_settings::{Layers, Schema, Settings};
use dynamokv_storage::Family;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::collect::CollectConfig;
use crate::exchange::ExchangeConfig;

/// What keeps a node's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// RocksDB in the data directory; needs the feature `rocksdb`.
    #[default]
    Rocksdb,
    /// In memory: gone when the process ends, so such a node joins anew each time.
    Memory,
}

impl std::str::FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "rocksdb" => Ok(Self::Rocksdb),
            other => Err(format!(
                "unknown engine {other:?}; known are `memory` and `rocksdb`"
            )),
        }
    }
}

/// When a write counts as acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DurabilityMode {
    /// After the next group sync: survives a power loss.
    #[default]
    Sync,
    /// When the operating system has it; a sync follows every `sync-interval-ms`. A power loss counts as a disk loss.
    Interval,
    /// When the operating system has it, which writes it when it likes. A power loss counts as a disk loss.
    Os,
}

/// Everything that one node can be told. The names of the fields, with dashes, are the keys of the TOML file and the flags of
/// programs, and [`Settings`] makes all else from what is said here: environment variables, limits, documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Display name in logs and listings; the node's id in hexadecimal when empty.
    #[schemars(extend("x-section" = "The node"), length(max = 64))]
    pub name: String,
    /// The node's id, 16 hexadecimal digits. Drawn at random at the first start and kept in the data directory
    /// when unset.
    pub id: Option<String>,
    /// Address to listen on, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Address that other nodes and clients reach this node at, when it differs from `listen`. When unset, a node that listens on
    /// all addresses (`0.0.0.0`) is reached by the name of its host.
    pub advertise: Option<String>,
    /// Address of the HTTP port for operators' tools, `host:port`: `/livez`, `/readyz`, `/metrics`. Without it there is none.
    pub admin_listen: Option<String>,
    /// Address to serve keys on by plain HTTP, `host:port`, as a gateway does. Without it there is no such port.
    pub http_listen: Option<String>,
    /// Failure zone; replicas of a key lie in distinct zones where there are enough.
    pub zone: String,
    /// Share of the data relative to other nodes; 100 is an ordinary node.
    pub weight: NonZeroU32,
    /// What to log: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `dynamokv=info`. The program that runs the
    /// node heeds it.
    pub log: String,
    /// Log as JSON, one object a line.
    pub log_json: bool,
    /// Where RocksDB keeps its files.
    #[schemars(extend("x-section" = "Storage"))]
    pub data_dir: PathBuf,
    /// Where snapshots are written, each in a folder of its own. On the disk of the data they cost little; without it there
    /// are none.
    pub snapshot_dir: Option<PathBuf>,
    /// What keeps the data.
    pub engine: EngineKind,
    /// Memory of RocksDB in MiB: blocks, filters, indices and write buffers.
    #[schemars(range(min = 4))]
    pub memory_mib: usize,
    /// Memory in MiB for records that were read or written lately, beside that of the engine; 0 for none.
    pub cache_mib: usize,
    /// When a write counts as acknowledged.
    pub durability: DurabilityMode,
    /// Milliseconds between syncs with `durability = "interval"`.
    #[schemars(range(min = 1, max = 60_000))]
    pub sync_interval_ms: u64,
    /// The cluster's name; nodes of another name are refused.
    #[schemars(extend("x-section" = "The cluster"), length(min = 1, max = 64))]
    pub cluster: String,
    /// Found a new cluster with this node as its first member.
    pub bootstrap: bool,
    /// Addresses of members to join through, `host:port` each.
    pub seeds: Vec<String>,
    /// Id of the dead member whose place this node takes when it is let in, 16 hexadecimal digits: one membership change removes
    /// the one and adds the other. Says nothing once the node is a member.
    pub replace: Option<String>,
    /// Q: partitions of the ring, a power of two. Fixed when the cluster is founded.
    #[schemars(range(min = 1, max = 65_536))]
    pub partitions: u32,
    /// N: replicas of each key. Fixed when the cluster is founded.
    #[schemars(range(min = 1, max = 16))]
    pub replicas: usize,
    /// Milliseconds between gossip rounds.
    #[schemars(range(min = 1, max = 60_000))]
    pub gossip_interval_ms: u64,
    /// Phi threshold of the failure detector: higher is slower and surer.
    #[schemars(range(min = 1.0))]
    pub phi_threshold: f64,
    /// R: replicas that must answer a read, when the request does not say. At most `replicas`.
    #[schemars(extend("x-section" = "Reads and writes"), range(min = 1, max = 16))]
    pub read_quorum: usize,
    /// W: replicas that must have a write, when the request does not say. At most `replicas`.
    #[schemars(range(min = 1, max = 16))]
    pub write_quorum: usize,
    /// Milliseconds that a request may take, when it does not say.
    #[schemars(range(min = 1, max = 60_000))]
    pub timeout_ms: u64,
    /// Milliseconds after which a silent replica is given up on for the moment: a further one is asked.
    #[schemars(range(min = 1, max = 60_000))]
    pub slow_ms: u64,
    /// Siblings of one key at which a warning is logged.
    pub siblings_soft: usize,
    /// Siblings of one key at which further concurrent writes are refused.
    #[schemars(range(min = 1))]
    pub siblings_hard: usize,
    /// Milliseconds between rounds in which the replicas of a key compare their copies and mend what differs.
    #[schemars(extend("x-section" = "Repair and deletes"), range(min = 1, max = 60_000))]
    pub exchange_interval_ms: u64,
    /// Bytes of objects a second that this node receives or sends at most to mend what differs, and that it reads to count
    /// its hash trees anew. What other nodes ask of it is not counted.
    pub exchange_bytes_per_second: NonZeroU64,
    /// Milliseconds between looks at the deleted objects.
    #[schemars(range(min = 1, max = 60_000))]
    pub tombstone_interval_ms: u64,
    /// Seconds that a deleted object is remembered after all its owners know of it. A snapshot that is older must not be restored, and
    /// a node that was away for longer lets go of what it holds for others.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub tombstone_grace_s: u64,
    /// Keys that are remembered one by one for each node that is away; of further ones whole ranges are.
    #[schemars(extend("x-section" = "Handoff and transfers"), range(min = 1, max = 10_000_000))]
    pub hints_max: u64,
    /// Objects a second that are handed to nodes that came back, over all of them.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub hint_rate: u64,
    /// Seconds after which what is held for a node that is still away, or takes nothing from this one, goes to the other owners instead.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub hint_age_max_s: u64,
    /// Mebibytes a second that this node takes at most of what it gains in a membership change; 0 sets no limit.
    pub transfer_mib_per_second: u32,
    /// Kibibytes that it asks for at once, about. Four pages are on their way at a time.
    #[schemars(range(min = 1, max = 4_096))]
    pub transfer_page_kib: u32,
    /// Requests of clients under way at once; one more is refused as overloaded, with nothing done.
    #[schemars(extend("x-section" = "Limits"), range(min = 1))]
    pub in_flight_max: usize,
    /// Requests of other nodes under way at once, gossip aside; one more is refused, as from a node that is slow.
    #[schemars(range(min = 1))]
    pub peer_in_flight_max: usize,
    /// Connections at once, of clients and nodes; one more is closed.
    #[schemars(range(min = 1))]
    pub connections_max: usize,
    /// Streams at once on one connection; the requests beyond wait at the client. All requests of another node share one connection.
    #[schemars(range(min = 1))]
    pub streams_max: u32,
    /// The greatest value that a client may write, in bytes. The same on all nodes.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub value_bytes_max: usize,
    /// The greatest message between nodes, in mebibytes: what the siblings of one key come to must fit. The same on all nodes.
    #[schemars(range(min = 1, max = 2_047))]
    pub peer_message_mib_max: usize,
    /// Serve the raw single-node service alone, without a cluster.
    #[schemars(extend("x-section" = "A node alone"))]
    pub standalone: bool,
    /// Column families of the raw service beside `default`, `lock` and `write`.
    pub families: Vec<String>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            id: None,
            listen: "127.0.0.1:7070".to_owned(),
            advertise: None,
            admin_listen: None,
            http_listen: None,
            data_dir: PathBuf::from("dynamokv-data"),
            snapshot_dir: None,
            engine: EngineKind::default(),
            durability: DurabilityMode::Sync,
            sync_interval_ms: 100,
            cluster: "dynamokv".to_owned(),
            bootstrap: false,
            seeds: Vec::new(),
            replace: None,
            partitions: 256,
            replicas: 3,
            read_quorum: 2,
            write_quorum: 2,
            timeout_ms: 2_000,
            slow_ms: 200,
            zone: "default".to_owned(),
            weight: NonZeroU32::MIN.saturating_add(99),
            log: "warn".to_owned(),
            log_json: false,
            gossip_interval_ms: 1_000,
            phi_threshold: 8.0,
            exchange_interval_ms: 1_000,
            exchange_bytes_per_second: NonZeroU64::MIN.saturating_add((128 << 20) - 1),
            tombstone_interval_ms: 60_000,
            tombstone_grace_s: 10 * DAY_S,
            hints_max: 100_000,
            hint_rate: 10_000,
            hint_age_max_s: 3 * DAY_S,
            transfer_mib_per_second: 64,
            transfer_page_kib: 1_024,
            memory_mib: 128,
            cache_mib: 160,
            siblings_soft: 16,
            siblings_hard: 256,
            in_flight_max: 4_096,
            peer_in_flight_max: 8_192,
            connections_max: 4_096,
            streams_max: 4_096,
            value_bytes_max: 4 << 20,
            peer_message_mib_max: 256,
            standalone: false,
            families: Vec::new(),
        }
    }
}

impl NodeConfig {
    /// Reads a TOML text; settings that are not named take their defaults. [`Layers`] puts several sources together.
    ///
    /// # Errors
    /// Names the setting and the line: an unknown one, a wrong type, a limit; or says where the TOML is broken.
    pub fn from_toml(text: &str) -> Result<Self, dynamokv_settings::Error> {
        let layers = Layers::of::<Self>().file(Path::new("configuration"), text)?;
        Ok(layers.resolve()?.settings)
    }

    /// Checks every setting against its limits.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Schema::of::<Self>().check(self)
    }

    /// The families of the raw service.
    pub(crate) fn raw_families(&self) -> Result<Vec<Family>, ConfigError> {
        let mut families = Family::RAW.to_vec();
        for name in &self.families {
            let wrong =
                |reason: String| ConfigError::new("families", format!("has {name:?}: {reason}"));
            let family = Family::new(name).map_err(|error| wrong(error.to_string()))?;
            if Family::CLUSTER.contains(&family) {
                let reason = "a cluster's node keeps its own data in it; choose another name";
                return Err(wrong(reason.to_owned()));
            }
            families.push(family);
        }
        Ok(families)
    }

    /// The id that was given, if one was.
    pub(crate) fn node_id(&self) -> Result<Option<NodeId>, ConfigError> {
        parse_id("id", self.id.as_deref())
    }

    /// The id of the node whose place it takes, if one was given.
    pub(crate) fn replaced_id(&self) -> Result<Option<NodeId>, ConfigError> {
        parse_id("replace", self.replace.as_deref())
    }

    /// How ranges that this node gains are pulled.
    pub(crate) fn transfer(&self) -> TransferConfig {
        let rate = NonZeroU64::new(u64::from(self.transfer_mib_per_second) << 20);
        let page = NonZeroUsize::new((self.transfer_page_kib as usize) << 10);
        TransferConfig {
            bytes_per_second: rate.unwrap_or(NonZeroU64::MAX),
            page_bytes: page.unwrap_or(NonZeroUsize::MIN),
            ..TransferConfig::default()
        }
    }

    /// The bounds of the server.
    pub(crate) fn server(&self) -> ServerConfig {
        ServerConfig {
            value_bytes_max: self.value_bytes_max,
            peer_message_bytes_max: self.peer_message_mib_max << 20,
            client_requests_max: self.in_flight_max,
            peer_requests_max: self.peer_in_flight_max,
            connections_max: self.connections_max,
            streams_max: self.streams_max,
            ..ServerConfig::default()
        }
    }

    /// The bounds of keys by HTTP.
    pub(crate) fn http(&self) -> dynamokv_http::Limits {
        dynamokv_http::Limits {
            value_bytes_max: self.value_bytes_max,
            requests_max: self.in_flight_max,
        }
    }

    /// How other nodes are reached.
    pub(crate) fn peers(&self) -> PeersConfig {
        PeersConfig {
            message_bytes_max: self.peer_message_mib_max << 20,
            ..PeersConfig::default()
        }
    }

    pub(crate) fn gossip_interval(&self) -> Duration {
        Duration::from_millis(self.gossip_interval_ms)
    }

    pub(crate) fn collect(&self) -> CollectConfig {
        CollectConfig {
            interval: Duration::from_millis(self.tombstone_interval_ms),
            grace: Duration::from_secs(self.tombstone_grace_s),
        }
    }

    pub(crate) fn exchange(&self) -> ExchangeConfig {
        ExchangeConfig {
            interval: Duration::from_millis(self.exchange_interval_ms),
            bytes_per_second: self.exchange_bytes_per_second,
        }
    }

    pub(crate) fn hint_bounds(&self) -> HintBounds {
        HintBounds {
            hints_max: NonZeroU64::new(self.hints_max).unwrap_or(NonZeroU64::MIN),
        }
    }

    pub(crate) fn handoff(&self) -> HandoffSettings {
        let age_max = Duration::from_secs(self.hint_age_max_s);
        let usual = DeliveryConfig::default();
        HandoffSettings {
            delivery: DeliveryConfig {
                items_per_second: NonZeroU64::new(self.hint_rate).unwrap_or(NonZeroU64::MIN),
                // What has just grown too old must not wait for longer than the grace time exceeds that.
                backoff_max: usual.backoff_max.min(age_max / 4),
                ..usual
            },
            age_max,
        }
    }
}

impl Settings for NodeConfig {
    const VARIABLES: &'static str = "DYNAMOKV";
    const ALIASES: &'static [(&'static str, &'static str)] = &[("seeds", "seed")];

    fn check(&self) -> Result<(), ConfigError> {
        self.node_id()?;
        self.replaced_id()?;
        self.raw_families()?;
        let seeds = self.seeds.iter().map(|seed| ("seeds", seed));
        let advertise = self.advertise.iter().map(|address| ("advertise", address));
        let admin = self.admin_listen.iter();
        let admin = admin.map(|address| ("admin-listen", address));
        let http = self.http_listen.iter();
        let http = http.map(|address| ("http-listen", address));
        let given = seeds.chain(advertise).chain(admin).chain(http);
        for (key, address) in given.chain([("listen", &self.listen)]) {
            check_address(key, address)?;
        }
        let (replicas, hard) = (self.replicas, self.siblings_hard);
        let rules = [
            (
                "partitions",
                self.partitions.is_power_of_two(),
                format!("is {}, but must be a power of two", self.partitions),
            ),
            (
                "read-quorum",
                self.read_quorum <= replicas,
                format!("is {}, but must be 1..={replicas} (`replicas`)", self.read_quorum),
            ),
            (
                "write-quorum",
                self.write_quorum <= replicas,
                format!("is {}, but must be 1..={replicas} (`replicas`)", self.write_quorum),
            ),
            (
                "tombstone-grace-s",
                self.tombstone_grace_s > self.hint_age_max_s,
                format!(
                    "is {}, but must exceed `hint-age-max-s` ({}), by more than clocks may differ",
                    self.tombstone_grace_s, self.hint_age_max_s
                ),
            ),
            (
                "siblings-soft",
                self.siblings_soft <= hard,
                format!("is {}, but must not exceed `siblings-hard` ({hard})", self.siblings_soft),
            ),
            (
                "replace",
                !(self.bootstrap && self.replace.is_some()),
                "takes a place in a cluster that exists, and `bootstrap` founds one: give only one of them".to_owned(),
            ),
            (
                "bootstrap",
                !self.bootstrap || self.seeds.is_empty(),
                "founds a cluster, and `seeds` joins one: give only one of them".to_owned(),
            ),
            (
                "standalone",
                !(self.standalone && (self.bootstrap || !self.seeds.is_empty())),
                "serves one node alone: `bootstrap` and `seeds` do not go with it".to_owned(),
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, reason)) => Err(ConfigError::new(key, reason)),
            None => Ok(()),
        }
    }
}

/// How what is held for others is handed over.
pub(crate) struct HandoffSettings {
    pub(crate) delivery: DeliveryConfig,
    /// What is held for longer goes to the other owners.
    pub(crate) age_max: Duration,
}

const DAY_S: u64 = 24 * 60 * 60;

fn parse_id(key: &str, text: Option<&str>) -> Result<Option<NodeId>, ConfigError> {
    let id = text.map(str::parse).transpose();
    id.map_err(|error: dynamokv_ring::Error| ConfigError::new(key, format!("is no id: {error}")))
}

fn check_address(key: &str, address: &str) -> Result<(), ConfigError> {
    let port = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(()),
        _ => Err(ConfigError::new(
            key,
            format!("has {address:?}, which is not of the form host:port"),
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        NodeConfig::default().validate().unwrap();
    }

    #[test]
    fn every_field_is_a_setting_with_a_meaning() {
        assert_eq!(Schema::untold::<NodeConfig>(), [""; 0]);
        for setting in Schema::of::<NodeConfig>().settings() {
            assert!(!setting.meaning.is_empty(), "{}", setting.key);
        }
    }

    #[test]
    fn each_limit_names_its_key() {
        type Change = fn(&mut NodeConfig);
        let cases: [(&str, Change); 28] = [
            ("http-listen", |c| c.http_listen = Some(String::new())),
            ("admin-listen", |c| c.admin_listen = Some("7071".into())),
            ("connections-max", |c| c.connections_max = 0),
            ("value-bytes-max", |c| c.value_bytes_max = 1 << 30),
            ("id", |c| c.id = Some("7".into())),
            ("replace", |c| c.replace = Some("7".into())),
            ("replace", |c| {
                c.replace = Some("00000000000000a1".into());
                c.bootstrap = true;
            }),
            ("transfer-page-kib", |c| c.transfer_page_kib = 0),
            ("listen", |c| c.listen = "nowhere".into()),
            ("advertise", |c| c.advertise = Some(":1".into())),
            ("seeds", |c| c.seeds = vec!["host:99999".into()]),
            ("timeout-ms", |c| c.timeout_ms = 0),
            ("exchange-interval-ms", |c| c.exchange_interval_ms = 0),
            ("hints-max", |c| c.hints_max = 0),
            ("hint-rate", |c| c.hint_rate = 10_000_001),
            ("hint-age-max-s", |c| c.hint_age_max_s = 0),
            ("tombstone-grace-s", |c| c.tombstone_grace_s = 0),
            ("tombstone-grace-s", |c| {
                c.tombstone_grace_s = c.hint_age_max_s
            }),
            ("partitions", |c| c.partitions = 12),
            ("replicas", |c| c.replicas = 17),
            ("read-quorum", |c| c.read_quorum = 4),
            ("write-quorum", |c| c.write_quorum = 0),
            ("phi-threshold", |c| c.phi_threshold = f64::NAN),
            ("siblings-soft", |c| c.siblings_soft = 1_000),
            ("cluster", |c| c.cluster = String::new()),
            ("families", |c| c.families = vec!["No Name".into()]),
            ("families", |c| c.families = vec!["objects".into()]),
            ("bootstrap", |c| {
                c.bootstrap = true;
                c.seeds = vec!["a:1".into()];
            }),
        ];
        for (key, change) in cases {
            let mut config = NodeConfig::default();
            change(&mut config);
            assert_eq!(config.validate().unwrap_err().key, key);
        }
    }
}
