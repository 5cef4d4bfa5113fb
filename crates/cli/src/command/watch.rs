//! What streams, once or until it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use dynamokv_rpc::pb::{Member, TransfersRequest};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::shown;
use crate::args::TransfersArgs;
use crate::error::Result;
use crate::node::{Admin, Client, Connect, ask_each};
use crate::output::Screen;
use crate::view::{Transfer, Transfers};

pub(super) async fn transfers(args: &TransfersArgs, screen: &Screen) -> Result<()> {
    let admin = args.connect.admin().await?;
    if args.watch {
        let is_settled = async || {
            let ring = admin.ring(None).await?;
            Ok(ring.open.is_none() && ring.pending.is_empty())
        };
        follow(&args.connect, &admin, screen, is_settled).await?;
    }
    let members = admin.members().await?;
    shown(screen.show(&look(&args.connect, &members).await))
}

/// Shows progress until `is_done` says so. Failures of nodes to answer are waited out: some may be on their way out.
pub(super) async fn follow(
    connect: &Connect,
    admin: &Admin,
    screen: &Screen,
    is_done: impl AsyncFn() -> Result<bool>,
) -> Result<()> {
    let mut bars = Bars::new(screen);
    loop {
        let members = admin.members().await?;
        let transfers = look(connect, &members).await;
        bars.show(&transfers);
        if !transfers.running() && is_done().await? {
            bars.clear();
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn look(connect: &Connect, members: &[Member]) -> Transfers {
    let ask = async |admin: Admin| {
        let call = async |mut client: Client, request| client.transfers(request).await;
        admin.ask(TransfersRequest {}, call).await
    };
    Transfers::new(members, ask_each(connect, members, ask).await)
}

/// A bar for each node that something streams to.
struct Bars {
    all: MultiProgress,
    of: BTreeMap<String, ProgressBar>,
    waiting: ProgressBar,
}

impl Bars {
    fn new(screen: &Screen) -> Self {
        let target = if screen.attended {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let all = MultiProgress::with_draw_target(target);
        let waiting = all.add(ProgressBar::new_spinner());
        waiting.set_message("waiting for the change");
        waiting.enable_steady_tick(POLL / 2);
        Self {
            all,
            of: BTreeMap::new(),
            waiting,
        }
    }

    fn show(&mut self, transfers: &Transfers) {
        for node in &transfers.nodes {
            if node.running || self.of.contains_key(&node.node) {
                let all = &self.all;
                let bar = self.of.entry(node.node.clone());
                advance(bar.or_insert_with(|| all.add(bar_of(node))), node);
            }
        }
    }

    fn clear(self) {
        self.waiting.finish_and_clear();
        // Nothing is left to be said on a terminal that is gone.
        let _ = self.all.clear();
    }
}

fn bar_of(node: &Transfer) -> ProgressBar {
    let bar = ProgressBar::new(node.partitions.into());
    // The template is a constant; a default bar serves as well.
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_prefix(node.name.clone());
    bar
}

fn advance(bar: &ProgressBar, node: &Transfer) {
    bar.set_length(node.partitions.into());
    bar.set_position(node.partitions_complete.into());
    bar.set_message(node.speed());
}

const TEMPLATE: &str = "{prefix:>12} [{bar:40}] {pos}/{len} partitions, {msg}";
const POLL: Duration = Duration::from_millis(300);
