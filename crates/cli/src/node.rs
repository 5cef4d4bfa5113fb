//! Connections to nodes.

use std::future::Future;
use std::time::Duration;

use clap::Args;
use dynamokv_rpc::pb::admin_client::AdminClient;
use dynamokv_rpc::pb::{
    KeyLocator, Member, MembersRequest, NodeStatus, RingRequest, RingResponse, StatusRequest,
};
use futures_util::future::join_all;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::{Error, Result};

/// The generated client.
pub(crate) type Client = AdminClient<Channel>;

/// Which nodes are asked, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connect {
    /// Nodes to ask, the first that answers; several with commas
    #[arg(
        short,
        long = "node",
        env = "DYNAMOKV_NODES",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:7070"
    )]
    pub(crate) nodes: Vec<String>,
    /// Milliseconds to wait for an answer at most
    #[arg(
        long = "wait-ms",
        env = "DYNAMOKV_WAIT_MS",
        value_name = "MS",
        default_value_t = WAIT_MS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    wait_ms: u32,
}

/// How long a command waits for an answer, unless it is told.
const WAIT_MS: u32 = 5_000;

impl Connect {
    /// These nodes, with the usual patience.
    pub(crate) fn to(nodes: Vec<String>) -> Self {
        Self {
            nodes,
            wait_ms: WAIT_MS,
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.wait_ms.into())
    }

    /// The operators' side of the first node that can be reached.
    pub(crate) async fn admin(&self) -> Result<Admin> {
        let mut failures = Vec::new();
        for address in &self.nodes {
            match self.admin_of(address).await {
                Ok(admin) => return Ok(admin),
                Err(reason) => failures.push(format!("{address} cannot be reached: {reason}")),
            }
        }
        Err(Error::NotDone(failures.join("; ")))
    }

    /// The operators' side of one node, connected.
    pub(crate) async fn admin_of(&self, address: &str) -> Result<Admin, String> {
        let wrong = |error: tonic::transport::Error| reason(&error);
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(wrong)?;
        let timeout = self.timeout();
        let endpoint = endpoint.connect_timeout(timeout).tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(wrong)?;
        Ok(Admin {
            address: address.to_owned(),
            timeout,
            client: AdminClient::new(channel),
        })
    }
}

/// The operators' side of one node.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) address: String,
    timeout: Duration,
    client: Client,
}

impl Admin {
    /// One call, within the time that a command has.
    pub(crate) async fn ask<Q, A, F>(
        &self,
        question: Q,
        call: impl FnOnce(Client, Request<Q>) -> F,
    ) -> Result<A>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(question);
        request.set_timeout(self.timeout);
        let answer = tokio::time::timeout(self.timeout, call(self.client.clone(), request));
        match answer.await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Error::of_status(&self.address, &status)),
            Err(_) => Err(Error::NotDone(format!(
                "{}: no answer within {} ms",
                self.address,
                self.timeout.as_millis()
            ))),
        }
    }

    /// The nodes that it knows.
    pub(crate) async fn members(&self) -> Result<Vec<Member>> {
        let call = async |mut client: Client, request| client.members(request).await;
        Ok(self.ask(MembersRequest {}, call).await?.members)
    }

    /// Its ring, and where a key belongs if one is given.
    pub(crate) async fn ring(&self, locate: Option<KeyLocator>) -> Result<RingResponse> {
        let call = async |mut client: Client, request| client.ring(request).await;
        self.ask(RingRequest { locate }, call).await
    }

    /// The member that it is itself: its address may be another than the one that it was reached at.
    pub(crate) async fn itself(&self, members: &[Member]) -> Result<Member> {
        let call = async |mut client: Client, request| client.status(request).await;
        let node = self.ask(StatusRequest {}, call).await?.node;
        find(members, &node).cloned()
    }
}

/// What each node that is not gone for good answers, in the order of `members`.
pub(crate) async fn ask_each<A>(
    connect: &Connect,
    members: &[Member],
    ask: impl AsyncFn(Admin) -> Result<A>,
) -> Vec<(Member, Result<A, String>)> {
    let there = members
        .iter()
        .filter(|member| member.status() != NodeStatus::Left);
    let asked = there.map(|member| {
        let ask = &ask;
        async move {
            let answer = match connect.admin_of(&member.address).await {
                Ok(admin) => ask(admin).await.map_err(|error| error.to_string()),
                Err(reason) => Err(reason),
            };
            (member.clone(), answer)
        }
    });
    join_all(asked).await
}

/// The node that an operator means by an id, the beginning of one, or a name.
pub(crate) fn find<'a>(members: &'a [Member], text: &str) -> Result<&'a Member> {
    let exact = members
        .iter()
        .find(|member| member.node == text || member.name == text);
    if let Some(member) = exact {
        return Ok(member);
    }
    let begins = members
        .iter()
        .filter(|member| member.node.starts_with(text));
    match begins.collect::<Vec<_>>().as_slice() {
        [member] => Ok(member),
        [] => Err(Error::NotFound(format!(
            "no node has the id or name {text:?}"
        ))),
        several => Err(Error::Usage(format!(
            "{text:?} is the beginning of {} ids: give more digits",
            several.len()
        ))),
    }
}

/// The innermost cause, which is what the operating system said.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn members() -> Vec<Member> {
        let member = |node: &str, name: &str| Member {
            node: node.to_owned(),
            name: name.to_owned(),
            ..Member::default()
        };
        vec![
            member("00a1", "n1"),
            member("00a2", "n2"),
            member("0b00", "00a"),
        ]
    }

    #[test]
    fn a_node_is_found_by_id_name_or_an_unmistakable_beginning() {
        let members = members();
        for (text, node) in [
            ("00a2", "00a2"),
            ("n1", "00a1"),
            ("0b", "0b00"),
            ("00a", "0b00"),
        ] {
            assert_eq!(find(&members, text).unwrap().node, node, "{text}");
        }
        assert!(matches!(find(&members, "00"), Err(Error::Usage(_))));
        assert!(matches!(find(&members, "n9"), Err(Error::NotFound(_))));
    }
}
