//! What an operator orders: shown first, confirmed, done, and followed if asked for.

use std::io::Write;

use dynamokv_rpc::pb::{
    LeaveRequest, Member, PlannedNode, PreviewChangeRequest, RemoveRequest, SetPlaceRequest,
    SnapshotRequest,
};
use serde::Serialize;
use tokio::io::AsyncBufReadExt;

use super::{shown, watch};
use crate::args::{Careful, LeaveArgs, RemoveArgs, SetPlaceArgs, SnapshotArgs};
use crate::error::{Error, Result};
use crate::node::{Admin, Client, Connect, find};
use crate::output::{Format, Ink, Screen, View};
use crate::view::{Ordered, Preview};

pub(super) async fn leave(args: &LeaveArgs, screen: &Screen) -> Result<()> {
    let admin = args.connect.admin().await?;
    let members = admin.members().await?;
    let me = admin.itself(&members).await?;
    let request = PreviewChangeRequest {
        leaving: vec![me.node.clone()],
        ..PreviewChangeRequest::default()
    };
    let plan = Plan {
        order: "leave",
        admin: &admin,
        members: &members,
        subject: me,
    };
    let Some(mut ordered) = plan.confirm(request, &args.careful, screen).await? else {
        return Ok(());
    };
    // The node ends once it has left, so another one is watched.
    let witness = match args.careful.wait {
        true => Some(witness(&args.connect, &members, &plan.subject).await?),
        false => None,
    };
    let call = async |mut client: Client, request| client.leave(request).await;
    admin.ask(LeaveRequest {}, call).await?;
    if let Some(witness) = witness {
        let gone = async || is_gone(&witness, &plan.subject).await;
        watch::follow(&args.connect, &witness, screen, gone).await?;
        ordered.finished = true;
    }
    shown(screen.show(&ordered))
}

pub(super) async fn remove(args: &RemoveArgs, screen: &Screen) -> Result<()> {
    let admin = args.connect.admin().await?;
    let members = admin.members().await?;
    let subject = find(&members, &args.target)?.clone();
    if subject.live {
        let advice = "if it is to go, `dynamokv leave` on it hands its data over";
        eprintln!("warning: {} is live; {advice}", subject.name);
    }
    let node = subject.node.clone();
    let request = PreviewChangeRequest {
        removing: vec![node.clone()],
        ..PreviewChangeRequest::default()
    };
    let plan = Plan {
        order: "removal",
        admin: &admin,
        members: &members,
        subject,
    };
    let Some(mut ordered) = plan.confirm(request, &args.careful, screen).await? else {
        return Ok(());
    };
    let call = async |mut client: Client, request| client.remove(request).await;
    admin.ask(RemoveRequest { node }, call).await?;
    if args.careful.wait {
        let gone = async || is_gone(&admin, &plan.subject).await;
        watch::follow(&args.connect, &admin, screen, gone).await?;
        ordered.finished = true;
    }
    shown(screen.show(&ordered))
}

pub(super) async fn set_place(args: &SetPlaceArgs, screen: &Screen) -> Result<()> {
    let admin = args.connect.admin().await?;
    let members = admin.members().await?;
    let subject = admin.itself(&members).await?;
    let altered = PlannedNode {
        node: subject.node.clone(),
        weight: args.weight,
        zone: args.zone.clone(),
        replaces: String::new(),
    };
    let request = PreviewChangeRequest {
        altered: vec![altered],
        ..PreviewChangeRequest::default()
    };
    let plan = Plan {
        order: "new place",
        admin: &admin,
        members: &members,
        subject,
    };
    let Some(mut ordered) = plan.confirm(request, &args.careful, screen).await? else {
        return Ok(());
    };
    let request = SetPlaceRequest {
        weight: args.weight,
        zone: args.zone.clone(),
    };
    let call = async |mut client: Client, request| client.set_place(request).await;
    admin.ask(request, call).await?;
    if args.careful.wait {
        let settled = async || is_settled(&admin).await;
        watch::follow(&args.connect, &admin, screen, settled).await?;
        ordered.finished = true;
    }
    shown(screen.show(&ordered))
}

pub(super) async fn snapshot(args: &SnapshotArgs, screen: &Screen) -> Result<()> {
    let admin = args.connect.admin().await?;
    let request = SnapshotRequest {
        name: args.name.clone(),
    };
    let call = async |mut client: Client, request| client.snapshot(request).await;
    let path = admin.ask(request, call).await?.path;
    shown(screen.show(&Snapshot {
        node: admin.address,
        path,
    }))
}

/// Where a snapshot is.
#[derive(Debug, Serialize)]
struct Snapshot {
    /// The address of the node that wrote it.
    node: String,
    path: String,
}

impl View for Snapshot {
    fn human(&self, _: Ink) -> String {
        format!("{} is complete and on disk, on {}\n", self.path, self.node)
    }
}

/// A change before it is ordered.
pub(super) struct Plan<'a> {
    pub(super) order: &'static str,
    pub(super) admin: &'a Admin,
    pub(super) members: &'a [Member],
    pub(super) subject: Member,
}

impl Plan<'_> {
    /// Shows what the change would move, and has it confirmed. Nothing is left to do after a dry run.
    pub(super) async fn confirm(
        &self,
        request: PreviewChangeRequest,
        careful: &Careful,
        screen: &Screen,
    ) -> Result<Option<Ordered>> {
        let call = async |mut client: Client, request| client.preview_change(request).await;
        let preview = self.admin.ask(request, call).await?;
        let mut ordered = Ordered {
            order: self.order,
            node: self.subject.node.clone(),
            name: self.subject.name.clone(),
            preview: Preview::new(preview, self.members),
            ordered: false,
            finished: false,
            shown: false,
        };
        if careful.dry_run {
            shown(screen.show(&ordered))?;
            return Ok(None);
        }
        if !careful.yes {
            if screen.format == Format::Json || !screen.attended {
                return Err(Error::Unconfirmed);
            }
            let question = format!(
                "{} of {} ({}): go on?",
                self.order, ordered.name, ordered.node
            );
            eprint!("{}", ordered.preview.human(screen.error_ink));
            if !is_confirmed(&question).await? {
                return Err(Error::Unconfirmed);
            }
            ordered.shown = true;
        }
        ordered.ordered = true;
        Ok(Some(ordered))
    }
}

async fn is_confirmed(question: &str) -> Result<bool> {
    eprint!("{question} [y/N] ");
    std::io::stderr()
        .flush()
        .map_err(Error::io("standard error"))?;
    let mut line = String::new();
    let mut input = tokio::io::BufReader::new(tokio::io::stdin());
    let read = input.read_line(&mut line).await;
    read.map_err(Error::io("standard input"))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// A live member that stays when `going` is gone.
async fn witness(connect: &Connect, members: &[Member], going: &Member) -> Result<Admin> {
    let staying = members
        .iter()
        .filter(|member| member.node != going.node && member.live && member.in_ring);
    for member in staying {
        if let Ok(admin) = connect.admin_of(&member.address).await {
            return Ok(admin);
        }
    }
    Err(Error::NotDone(
        "no other member can be reached to watch the change from".to_owned(),
    ))
}

async fn is_gone(admin: &Admin, subject: &Member) -> Result<bool> {
    let ring = admin.ring(None).await?;
    let owns = ring.shares.iter().any(|share| share.node == subject.node);
    Ok(!owns && ring.open.is_none())
}

async fn is_settled(admin: &Admin) -> Result<bool> {
    let ring = admin.ring(None).await?;
    Ok(ring.open.is_none() && ring.pending.is_empty())
}
