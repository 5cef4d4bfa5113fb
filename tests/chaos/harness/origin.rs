//! Whose connection it is, as Linux knows.

use std::fs;
use std::net::SocketAddr;

/// Which of the processes opened the connection from `peer`; `None` if none of them did, or the connection is gone.
pub fn opener_of(
    peer: SocketAddr,
    processes: impl IntoIterator<Item = (usize, u32)>,
) -> Option<usize> {
    let socket = format!("socket:[{}]", inode_of(peer)?);
    let holds = |pid: u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok();
        files.into_iter().flatten().flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket.as_str())
        })
    };
    processes
        .into_iter()
        .find(|(_, pid)| holds(*pid))
        .map(|(node, _)| node)
}

/// The inode of the socket that is bound to `local`. Lines of the table read `sl local remote st queues timer retr uid
/// timeout inode`, addresses as hexadecimal words of the machine.
fn inode_of(local: SocketAddr) -> Option<String> {
    let SocketAddr::V4(local) = local else {
        return None;
    };
    let word = u32::from_ne_bytes(local.ip().octets());
    let address = format!("{word:08X}:{:04X}", local.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let found = fields.nth(1)?;
        (found == address).then(|| fields.nth(7).map(str::to_owned))?
    })
}
