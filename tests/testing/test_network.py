"""The simulated network counts what happened to packets, and not what was ordered."""

from raftnode.core.messages import TimeoutNowRequest
from raftnode.testing import Clock, Letter, Network
from raftnode.testing.network import DELAYED_SECONDS


class Post:
    """A network between nodes 1 and 2, whose letters somebody takes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.network: Network[Letter] = Network(self.clock, lambda letter: True, delay=(0.0005, 0.0005))

    def send(self, source: int = 1, target: int = 2) -> None:
        """Send one letter."""
        self.network.send(Letter(source, target, TimeoutNowRequest(1, 1)))

    def arrive(self) -> dict[str, int]:
        """Let everything arrive; return what happened, without what did not."""
        while self.clock.next_time() < float("inf"):
            self.clock.step()
        return {kind: count for kind, count in self.network.happened.items() if count}


def test_a_packet_that_was_overtaken_is_reordered() -> None:
    """The first one takes long; the second one arrives before it. One to another node overtakes nobody."""
    post = Post()
    post.network.delay = (0.03, 0.03)
    post.send()
    post.network.delay = (0.01, 0.01)
    post.send()
    post.send(2, 1)
    assert post.arrive() == {"delivered": 3, "reordered": 1}


def test_a_copy_that_arrives_is_a_duplicate() -> None:
    """Two arrive of one frame."""
    post = Post()
    post.network.duplication = 1.0
    post.send()
    assert post.arrive() == {"delivered": 2, "duplicated": 1}


def test_a_copy_whose_twin_met_a_cut_link_is_none() -> None:
    """Ordered is not happened."""
    post = Post()
    post.network.duplication = 1.0
    post.network.delay = (0.01, 0.02)
    post.send()
    post.clock.at(post.clock.now + 0.001, post.network.cut, 1, 2)
    assert post.arrive() == {"blocked": 2}


def test_a_packet_that_takes_long_is_delayed() -> None:
    """Longer than anything between well nodes."""
    post = Post()
    post.network.delay = (2 * DELAYED_SECONDS, 2 * DELAYED_SECONDS)
    post.send()
    assert post.arrive() == {"delivered": 1, "delayed": 1}


def test_a_packet_is_blocked_one_way_where_the_other_way_is_open() -> None:
    """And simply blocked where both are cut."""
    post = Post()
    post.network.cut_one_way(1, 2)
    post.send()
    post.send(2, 1)
    assert post.arrive() == {"delivered": 1, "blocked": 1, "blocked one way": 1}
    post.network.cut(1, 2)
    post.send()
    assert post.arrive() == {"delivered": 1, "blocked": 2, "blocked one way": 1}
