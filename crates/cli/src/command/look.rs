//! What changes nothing.

use dynamokv_rpc::pb::{
    ExchangesRequest, HintsRequest, KeyLocator, Member, ReadLocalRequest, StatusRequest,
};

use super::shown;
use crate::args::{LocateArgs, MembersArgs, Wide};
use crate::error::{Error, Result};
use crate::node::{Admin, Client, Connect, ask_each};
use crate::output::Screen;
use crate::view::{Copies, Exchanges, Hints, Located, Members, Ring, Statuses};

pub(super) async fn status(args: &Wide, screen: &Screen) -> Result<()> {
    let ask = async |admin: Admin| {
        let call = async |mut client: Client, request| client.status(request).await;
        admin.ask(StatusRequest {}, call).await
    };
    let admin = args.connect.admin().await?;
    let statuses = if args.all {
        let members = admin.members().await?;
        Statuses::all(ask_each(&args.connect, &members, ask).await)
    } else {
        Statuses::one(ask(admin).await?)
    };
    shown(screen.show(&statuses))
}

pub(super) async fn members(args: &MembersArgs, screen: &Screen) -> Result<()> {
    let admin = args.connect.admin().await?;
    let members = admin.members().await?;
    shown(screen.show(&Members::new(&admin.address, members, args.left)))
}

pub(super) async fn ring(connect: &Connect, screen: &Screen) -> Result<()> {
    let admin = connect.admin().await?;
    let ring = admin.ring(None).await?;
    let members = admin.members().await?;
    shown(screen.show(&Ring::new(ring, members)))
}

pub(super) async fn locate(args: &LocateArgs, screen: &Screen) -> Result<()> {
    let keyspace = args.keyspace.name.clone();
    let key = bytes::Bytes::from(args.key.clone());
    let admin = args.connect.admin().await?;
    let locator = KeyLocator {
        keyspace: keyspace.clone(),
        key: key.clone(),
    };
    let location = admin.ring(Some(locator)).await?.location;
    let missing = || Error::Failed(format!("{}: the answer has no location", admin.address));
    let location = location.ok_or_else(missing)?;
    let members = admin.members().await?;
    let copies = Copies::of(&location, &members, args.all);
    let request = ReadLocalRequest {
        keyspace: keyspace.clone(),
        key: key.clone(),
    };
    let ask = async |admin: Admin| {
        let call = async |mut client: Client, request| client.read_local(request).await;
        admin.ask(request.clone(), call).await
    };
    let asked = ask_each(&args.connect, &copies.holders(&members), ask).await;
    let located = Located::new(&keyspace, &key, &location, &members, copies, asked);
    shown(screen.show(&located))
}

pub(super) async fn hints(args: &Wide, screen: &Screen) -> Result<()> {
    let ask = async |admin: Admin| {
        let call = async |mut client: Client, request| client.hints(request).await;
        admin.ask(HintsRequest {}, call).await
    };
    let (members, asked) = one_or_each(args, ask).await?;
    shown(screen.show(&Hints::new(&members, asked)))
}

pub(super) async fn exchanges(args: &Wide, screen: &Screen) -> Result<()> {
    let ask = async |admin: Admin| {
        let call = async |mut client: Client, request| client.exchanges(request).await;
        admin.ask(ExchangesRequest {}, call).await
    };
    let (members, asked) = one_or_each(args, ask).await?;
    shown(screen.show(&Exchanges::new(&members, asked)))
}

/// All members, and what the asked one, or each of them, says.
async fn one_or_each<A>(
    args: &Wide,
    ask: impl AsyncFn(Admin) -> Result<A>,
) -> Result<(Vec<Member>, Vec<(Member, Result<A, String>)>)> {
    let admin = args.connect.admin().await?;
    let members = admin.members().await?;
    if args.all {
        let asked = ask_each(&args.connect, &members, ask).await;
        return Ok((members, asked));
    }
    let me = admin.itself(&members).await?;
    let answer = ask(admin).await?;
    Ok((members, vec![(me, Ok(answer))]))
}
