//! A node in this process, and nodes that come into a cluster.

use std::io::{IsTerminal, Write};

use dynamokv::NodeConfig;
use dynamokv_gateway::{Gateway, GatewayConfig};
use dynamokv_rpc::pb::{PlannedNode, PreviewChangeRequest};
use tracing_subscriber::EnvFilter;

use super::change::Plan;
use crate::args::{Careful, Flags, JoinArgs, ReplaceArgs};
use crate::error::{Error, Result};
use crate::node::{Connect, find};
use crate::output::Screen;

pub(super) async fn serve(flags: &Flags<NodeConfig>, screen: &Screen) -> Result<()> {
    match flags.settings(screen)? {
        Some(config) => run(config).await,
        None => Ok(()),
    }
}

/// A front of the cluster in this process.
pub(super) async fn gateway(flags: &Flags<GatewayConfig>, screen: &Screen) -> Result<()> {
    let Some(config) = flags.settings(screen)? else {
        return Ok(());
    };
    start_log(&config.log, config.log_json)?;
    let failed = |error: &dyn std::error::Error| Error::Failed(error.to_string());
    let gateway = Gateway::start(config)
        .await
        .map_err(|error| failed(&error))?;
    let grpc = gateway.grpc_address();
    let grpc = grpc.map_or(String::new(), |address| format!(", gRPC on {address}"));
    say(&format!(
        "gateway listens on {}{grpc}",
        gateway.http_address()
    ));
    let asked = dynamokv::asked_to_stop().await;
    gateway.stop().await;
    asked.map_err(|error| failed(&error))
}

/// Shows what would move to the new node, then runs it.
pub(super) async fn join(args: &JoinArgs, screen: &Screen) -> Result<()> {
    match args.settings.settings(screen)? {
        Some(config) => enter("join", config, None, &args.careful(), screen).await,
        None => Ok(()),
    }
}

/// Shows what would move to the node that takes a dead one's place, then runs it.
pub(super) async fn replace(args: &ReplaceArgs, screen: &Screen) -> Result<()> {
    match args.join.settings.settings(screen)? {
        Some(config) => {
            let dead = Some(args.target.as_str());
            enter("replacement", config, dead, &args.join.careful(), screen).await
        }
        None => Ok(()),
    }
}

async fn enter(
    order: &'static str,
    mut config: NodeConfig,
    dead: Option<&str>,
    careful: &Careful,
    screen: &Screen,
) -> Result<()> {
    if config.bootstrap || config.seeds.is_empty() {
        return Err(Error::Usage(
            "a node comes in through a member: name one with --seed, and leave --bootstrap out"
                .to_owned(),
        ));
    }
    let admin = Connect::to(config.seeds.clone()).admin().await?;
    let members = admin.members().await?;
    let subject = dead.map(|dead| find(&members, dead)).transpose()?.cloned();
    config.replace = subject
        .as_ref()
        .map(|dead| dead.node.clone())
        .or(config.replace);
    let joining = PlannedNode {
        node: String::new(),
        weight: Some(config.weight.get()),
        zone: Some(config.zone.clone()),
        replaces: config.replace.clone().unwrap_or_default(),
    };
    let request = PreviewChangeRequest {
        joining: vec![joining],
        ..PreviewChangeRequest::default()
    };
    let newcomer = dynamokv_rpc::pb::Member {
        name: config.name.clone(),
        node: config.id.clone().unwrap_or_else(|| "a new node".to_owned()),
        ..Default::default()
    };
    let plan = Plan {
        order,
        admin: &admin,
        members: &members,
        subject: subject.unwrap_or(newcomer),
    };
    match plan.confirm(request, careful, screen).await? {
        None => Ok(()),
        Some(_) => run(config).await,
    }
}

async fn run(config: NodeConfig) -> Result<()> {
    start_log(&config.log, config.log_json)?;
    let ended = dynamokv::serve(config, say).await;
    ended.map_err(|error| Error::Failed(error.to_string()))
}

/// A closed output is no reason to stop a node.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn start_log(filter: &str, as_json: bool) -> Result<()> {
    let wrong = |error| Error::Usage(format!("`log`: {error}"));
    let filter = EnvFilter::try_new(filter).map_err(wrong)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if as_json {
        log.json().init();
    } else {
        log.init();
    }
    Ok(())
}
