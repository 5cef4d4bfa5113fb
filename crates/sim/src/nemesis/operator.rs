//! What an operator does: lets nodes come and go, moves data, and replaces those that lost their disks.

use std::sync::Arc;
use std::time::Duration;

use dynamokv::Parts;
use dynamokv::ring::NodeId;
use dynamokv::rpc::AdminService;
use dynamokv::rpc::pb::{LeaveRequest, RemoveRequest, SetPlaceRequest};

use super::{LONG, SHORT};
use crate::dice::Dice;
use crate::host::Host;
use crate::network::Place;
use crate::transport::Wires;
use crate::world::World;

/// Sees to the membership of one cluster, within what it promises: one disk at a time, and never fewer than N members.
pub(super) struct Operator {
    world: Arc<World>,
    /// Whether a disk was lost in this run.
    lost_a_disk: bool,
    /// The node that lost its disk, until its data is on enough disks again.
    replacing: Option<Replacement>,
}

/// How a disk is lost, and what is done about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The node starts on an older copy, is turned away, removed, and a further one comes.
    Older,
    /// It is removed, and a further one comes.
    Empty,
    /// It is removed.
    Removed,
    /// Another one takes its place.
    Replaced,
}

/// A node on its way out, and the place where another one may come in.
#[derive(Clone, Copy)]
struct Replacement {
    place: usize,
    gone: NodeId,
    loss: Loss,
    /// Until when the node runs on an older copy of its disk, if it does; then the disk is thrown away.
    older_until: Option<Duration>,
}

impl Operator {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            lost_a_disk: false,
            replacing: None,
        }
    }

    /// Whether a lost disk is not made up for yet.
    pub(super) fn is_busy(&self) -> bool {
        self.replacing.is_some()
    }

    /// Where a node runs on an older copy of its disk.
    pub(super) fn on_older(&self) -> Option<usize> {
        let replacement = self.replacing?;
        replacement.older_until.map(|_| replacement.place)
    }

    /// Nobody runs on an older disk any longer.
    pub(super) fn hurry(&mut self) {
        if let Some(replacement) = &mut self.replacing {
            replacement.older_until = replacement.older_until.map(|_| Duration::ZERO);
        }
    }

    /// A node that starts is told where the others are now.
    pub(super) fn tell_seeds(&self, place: usize) {
        let seeds = self.addresses_but(place);
        self.world.host(place, |host| host.set_seeds(seeds));
    }

    /// A further node comes to a free place, if there is one. It is started by and by, as whatever is down.
    pub(super) fn join(&mut self, dice: &mut Dice) {
        let vacant = |place: &usize| self.world.host(*place, |host| host.is_vacant());
        let vacant: Vec<usize> = (0..self.world.places()).filter(vacant).collect();
        let Some(place) = dice.pick(&vacant).copied() else {
            return;
        };
        let seeds = self.addresses_but(place);
        self.world
            .host(place, |host| host.replace_disk(seeds, None));
        self.world
            .note(Place::Node(place), format_args!("a further node comes"));
        self.world.count("nodes that came", 1);
    }

    /// Asks a node to leave, if enough remain.
    pub(super) async fn leave(&mut self, place: usize) {
        let here = self
            .replacing
            .is_some_and(|replacement| replacement.place == place);
        if here || !self.can_spare(place) {
            return;
        }
        let Some(parts) = self.parts(place) else {
            return;
        };
        self.world.host(place, Host::note_leaving);
        let answer = parts.service().leave(LeaveRequest {}).await;
        self.world.note(
            Place::Node(place),
            format_args!("asked to leave: {answer:?}"),
        );
    }

    /// Takes note of those that are gone as they were asked to: nobody is expected there any more.
    pub(super) fn see_off(&mut self) {
        for place in self.world.occupied() {
            let (asked, gone, id) = self.world.host(place, |host| {
                // One whose disk failed may have been let in meanwhile, and goes on with leaving after its next start.
                let ended = host.ended();
                let gone = ended.is_some_and(|reason| !reason.starts_with("storage"));
                (host.was_asked_to_leave(), gone, host.id())
            });
            let Some(id) = id.filter(|_| asked && gone) else {
                continue;
            };
            let others: Vec<Arc<Parts<Wires>>> = self.others(place);
            let known = |parts: &Arc<Parts<Wires>>| is_in_a_ring(parts, id);
            if !others.is_empty() && !others.iter().any(known) {
                self.world.crash(place, 0);
                self.world
                    .note(Place::Node(place), format_args!("{id} has left"));
                self.world.host(place, Host::vacate);
                self.world.count("nodes that left", 1);
            }
        }
    }

    /// Gives a node another weight and zone.
    pub(super) async fn give_place(&mut self, place: usize, dice: &mut Dice) {
        let weight = WEIGHTS[dice.index(WEIGHTS.len())];
        let zone = ZONES[dice.index(ZONES.len())].to_owned();
        let Some(parts) = self.parts(place) else {
            return;
        };
        let request = SetPlaceRequest {
            weight: Some(weight),
            zone: Some(zone.clone()),
        };
        let answer = parts.service().set_place(request).await;
        self.world.note(
            Place::Node(place),
            format_args!("weight {weight} and zone {zone}: {answer:?}"),
        );
        if answer.is_ok() {
            self.world.count("places given", 1);
        }
    }

    /// One at a time: the next disk goes only when what this one had is on enough disks again.
    pub(super) fn lose_disk(&mut self, place: usize, loss: Loss, dice: &mut Dice) {
        if self.replacing.is_some() || (self.lost_a_disk && !self.everybody_is_well()) {
            return;
        }
        // Somebody must go on with the data meanwhile.
        if !self.can_spare(place) {
            return;
        }
        if loss == Loss::Older && !self.world.host(place, |host| host.has_backup()) {
            self.world
                .note(Place::Node(place), format_args!("its disk is copied"));
            self.world.host(place, Host::back_up);
            return;
        }
        let now = self.world.now();
        self.world.history(|history| history.unsettle(now));
        self.lost_a_disk = true;
        self.world.count("disks lost", 1);
        self.world.crash(place, 0);
        let Some(gone) = self.world.host(place, |host| host.id()) else {
            return;
        };
        let mut replacement = Replacement {
            place,
            gone,
            loss,
            older_until: None,
        };
        if loss == Loss::Older {
            self.world.note(
                Place::Node(place),
                format_args!("goes back to an older disk"),
            );
            self.world.host(place, Host::restore_backup);
            // Turned away sooner or later, or at once.
            if self.world.start(place).is_ok() {
                let until = now + dice.duration(SHORT, LONG);
                replacement.older_until = Some(until);
            }
        }
        if replacement.older_until.is_none() {
            self.throw_disk_away(replacement);
        }
        self.replacing = Some(replacement);
    }

    /// The next node at the place, if one comes, is a new one, and is started by and by, as whatever is down.
    fn throw_disk_away(
        &self,
        Replacement {
            place, gone, loss, ..
        }: Replacement,
    ) {
        self.world.crash(place, 0);
        self.world
            .note(Place::Node(place), format_args!("its disk is lost"));
        if loss == Loss::Removed {
            self.world.host(place, Host::vacate);
            return;
        }
        let seeds = self.addresses_but(place);
        // Who was no member has no place to take.
        let member = |parts: &Arc<Parts<Wires>>| is_in_a_ring(parts, gone);
        let takes_place = loss == Loss::Replaced && self.others(place).iter().any(member);
        let replace = takes_place.then_some(gone);
        self.world
            .host(place, |host| host.replace_disk(seeds, replace));
    }

    /// One step of making up for a lost disk: the operator removes the dead node, unless another one asks for its place.
    pub(super) async fn replace(&mut self, dice: &mut Dice) {
        let Some(replacement) = &mut self.replacing else {
            return;
        };
        if let Some(until) = replacement.older_until {
            if self.world.now() < until {
                return;
            }
            replacement.older_until = None;
            let replacement = *replacement;
            self.throw_disk_away(replacement);
        }
        let Some(Replacement {
            place, gone, loss, ..
        }) = self.replacing
        else {
            return;
        };
        let others = self.others(place);
        let asked = dice.pick(&others).cloned();
        if !others.iter().any(|parts| is_known(parts, gone)) {
            self.take_back_wish(place, &others);
            if self.everybody_is_well() {
                let now = self.world.now();
                self.world
                    .note(Place::Node(place), format_args!("{gone} is made up for"));
                self.world
                    .count("nodes replaced", u64::from(loss != Loss::Removed));
                self.world
                    .count("nodes removed", u64::from(loss == Loss::Removed));
                self.world.history(|history| history.settle(now));
                self.replacing = None;
            }
            return;
        }
        // Who was in no ring yet when the disk was lost may have come into one since: then nobody was told to take its place.
        let told = self.world.host(place, |host| host.is_to_replace());
        let by_heir = told && others.iter().any(|parts| is_in_a_ring(parts, gone));
        if let Some(asked) = asked.filter(|_| !by_heir) {
            let node = gone.to_string();
            // Refused where it is not known yet or any more, and asked again until it is gone.
            let answer = asked.service().remove(RemoveRequest { node }).await;
            self.world.note(
                Place::Node(place),
                format_args!("{} is asked to remove {gone}: {answer:?}", asked.id()),
            );
        }
    }

    /// The place that a node was to take may be nobody's any more, if the dead one had been leaving: it says what it waits for, and the
    /// operator lets it come as a further one.
    fn take_back_wish(&self, place: usize, others: &[Arc<Parts<Wires>>]) {
        let id = self.world.host(place, |host| host.id());
        let in_a_ring = |id| others.iter().any(|parts| is_in_a_ring(parts, id));
        let waits = self.world.host(place, |host| host.is_to_replace());
        if waits && id.is_some_and(|id| !others.is_empty() && !in_a_ring(id)) {
            self.world.crash(place, 0);
            self.world.host(place, Host::replace_nobody);
            self.world
                .note(Place::Node(place), format_args!("its place is nobody's"));
            self.world.count("wishes taken back", 1);
        }
    }

    /// Whether enough members remain if the node at this place goes.
    fn can_spare(&self, place: usize) -> bool {
        let Some(witness) = self.others(place).into_iter().next() else {
            return false;
        };
        let ring = witness.view().current.clone();
        let stays = |other: &usize| {
            let lost = self.replacing.is_some_and(|lost| lost.place == *other);
            let member = |host: &mut Host| {
                let going = host.is_leaving() || host.was_asked_to_leave();
                !going && host.id().is_some_and(|id| ring.contains(id))
            };
            *other != place && !lost && self.world.host(*other, member)
        };
        let occupied = self.world.occupied();
        let staying = occupied.iter().filter(|other| stays(other)).count();
        staying >= self.world.plan().replicas && occupied.contains(&place)
    }

    fn addresses_but(&self, place: usize) -> Vec<String> {
        let others = self.world.occupied().into_iter();
        others
            .filter(|other| *other != place)
            .map(|other| self.world.host(other, |host| host.address(other)))
            .collect()
    }

    /// The nodes that run, but for one place.
    fn others(&self, place: usize) -> Vec<Arc<Parts<Wires>>> {
        let others = self.world.running().into_iter();
        others
            .filter(|other| *other != place)
            .filter_map(|other| self.parts(other))
            .collect()
    }

    fn parts(&self, place: usize) -> Option<Arc<Parts<Wires>>> {
        self.world.host(place, |host| host.parts().cloned())
    }

    /// No node is down or about to be, no change is open, and nothing is held for anybody: every acknowledged write is
    /// on enough disks.
    fn everybody_is_well(&self) -> bool {
        self.world.at_rest().is_ok()
    }
}

fn is_in_a_ring(parts: &Arc<Parts<Wires>>, id: NodeId) -> bool {
    let view = parts.view();
    let next = view.next.as_ref();
    view.current.contains(id) || next.is_some_and(|next| next.contains(id))
}

fn is_known(parts: &Arc<Parts<Wires>>, id: NodeId) -> bool {
    is_in_a_ring(parts, id) || parts.gossip().with(|gossip| gossip.member(id).is_some())
}

const WEIGHTS: [u32; 4] = [50, 100, 200, 400];
const ZONES: [&str; 3] = ["default", "east", "west"];
