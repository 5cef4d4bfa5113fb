use std::time::Duration;

use dynamokv_client::ClientConfig;
use dynamokv_rpc::ServerConfig;
use dynamokv_settings::{Invalid, Settings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that a gateway can be told; [`Settings`] makes flags, environment variables and documentation of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// Addresses of nodes of the cluster, `host:port` each. One that answers is enough: it tells of the others.
    pub seeds: Vec<String>,
    /// Address to serve HTTP on, `host:port`; port 0 takes a free one. Also there: `/livez` and `/readyz`.
    pub http_listen: String,
    /// Address to serve gRPC on, `host:port`. Without it there is no such port.
    pub grpc_listen: Option<String>,
    /// Address of the HTTP port for operators' tools, `host:port`: `/livez`, `/readyz`, `/metrics`. Without it there is no such port.
    pub admin_listen: Option<String>,
    /// Milliseconds that a request may take, all attempts together, when it does not say.
    #[schemars(range(min = 1, max = 60_000))]
    pub timeout_ms: u64,
    /// Requests under way at once, of each of HTTP and gRPC; one more is refused as overloaded, with nothing done.
    #[schemars(range(min = 1))]
    pub in_flight_max: usize,
    /// Connections at once, of each of HTTP and gRPC.
    #[schemars(range(min = 1))]
    pub connections_max: usize,
    /// The greatest value that may be written, in bytes. The nodes' own limit counts besides.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub value_bytes_max: usize,
    /// What to log: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `dynamokv=info`. The program that runs the
    /// gateway heeds it.
    pub log: String,
    /// Log as JSON, one object a line.
    pub log_json: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            http_listen: "127.0.0.1:8080".to_owned(),
            grpc_listen: None,
            admin_listen: None,
            timeout_ms: 2_000,
            in_flight_max: 4_096,
            connections_max: 4_096,
            value_bytes_max: 4 << 20,
            log: "warn".to_owned(),
            log_json: false,
        }
    }
}

impl Settings for GatewayConfig {
    const VARIABLES: &'static str = "DYNAMOKV_GATEWAY";
    const ALIASES: &'static [(&'static str, &'static str)] = &[("seeds", "seed")];

    fn check(&self) -> Result<(), Invalid> {
        if self.seeds.is_empty() {
            return Err(Invalid::new(
                "seeds",
                "is empty, but a gateway needs a node to ask",
            ));
        }
        Ok(())
    }
}

impl GatewayConfig {
    pub(crate) fn client(&self) -> ClientConfig {
        let timeout = Duration::from_millis(self.timeout_ms);
        let default = ClientConfig::default();
        ClientConfig {
            timeout,
            attempt_timeout: default.attempt_timeout.min(timeout),
            ..default
        }
    }

    pub(crate) fn grpc(&self) -> ServerConfig {
        ServerConfig {
            value_bytes_max: self.value_bytes_max,
            client_requests_max: self.in_flight_max,
            connections_max: self.connections_max,
            ..ServerConfig::default()
        }
    }

    pub(crate) fn http(&self) -> dynamokv_http::Limits {
        dynamokv_http::Limits {
            value_bytes_max: self.value_bytes_max,
            requests_max: self.in_flight_max,
        }
    }
}
