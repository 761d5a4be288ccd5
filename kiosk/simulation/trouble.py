"""All that goes wrong on a day, drawn before it begins."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING

from kiosk.clock import NS
from kiosk.simulation.clock import EPOCH
from kiosk.simulation.disk import Death, Picture
from kiosk.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from kiosk.simulation.disk import Disk
    from kiosk.simulation.doors import Kiosk
    from kiosk.simulation.machines import Machine
    from kiosk.simulation.scene import Scene

_1970 = 3 * 3600 * NS
_2038 = (2**31) * NS
_EVERY = 150.0  # seconds between two faults, on average
_DYING = 0.1  # seconds in which whoever has burned has surely fallen
_FUSE = 40  # writes at most until a death that was ordered for some write
_AT_THE_DOOR = 6  # the same for one that was ordered for the moment somebody is at the door
_LAST_GAP = 0.3  # of the kiosks lose a frame when all else is healed
_LONGEST_FUSE = 120.0  # seconds; if nobody writes it comes all the same


class Trouble:
    """The faults of one day; `heal` ends them all."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._chance = scene.day.chance("trouble")
        self._backups: list[Path] = []
        self._copies: dict[str, Picture] = {}
        self._over = False
        self._boots = 0
        self._context = copy_context()
        self._works: list[asyncio.Task[None]] = []
        for machine in (scene.hub, *scene.kiosks):
            machine.died = self._died
        self.kinds = self._kinds()

    def plan(self) -> None:
        """Put the day's faults on the calendar: of every seed's own choice of kinds."""
        scene, chance = self._scene, self._chance
        chosen = [name for name, (_, w) in self.kinds.items() if w and chance.random() < 0.75]
        if chance.random() < 0.5:
            # What only a kiosk still held would be gone for good if its disk were lost as well.
            chosen = [name for name in chosen if name not in ("kiosk_put_back", "kiosk_cloned")]
        elif "hub_restored" in chosen:
            chosen.remove("hub_restored")
        if {"hub_restored", "kiosk_cloned", "kiosk_put_back"} & set(chosen):
            # A restored hub sets apart what it had taken in again, and doubles of a paired device
            # shut each other out: known, and in the docs.
            chosen = [name for name in chosen if name != "kiosk_revoked"]
        weights = [self.kinds[name][1] for name in chosen]
        end = scene.day.hours * 3600
        at = chance.expovariate(1 / _EVERY)
        while chosen and at < end:
            scene.loop.call_at(at, self.strike, chance.choices(chosen, weights)[0])
            at += chance.expovariate(1 / _EVERY)
        for kiosk in scene.kiosks:
            kiosk.clock.restart(f"{kiosk.name}-boot-0", self._drift())

    def strike(self, name: str) -> None:
        """Let something of this kind go wrong now, if it can; and count it."""
        if not self._over and self.kinds[name][0]():
            self._scene.count(name)

    async def heal(self) -> None:
        """End all faults: everything is on, and every line is up."""
        self._over = True
        scene = self._scene
        await asyncio.sleep(_DYING)
        await asyncio.gather(*self._works)
        scene.hub.clock.trusted = True
        scene.hub.clock.jump(scene.hub.clock.truth())
        if not scene.hub.up:
            await scene.restart_hub()
        for machine in (scene.hub, *scene.kiosks):
            machine.disk.snuff()
        for kiosk in scene.kiosks:
            kiosk.weather.clear()
            # One last frame may be lost, with nothing behind it that would tell.
            kiosk.weather.gaps = int(self._chance.random() < _LAST_GAP)
            if not kiosk.up:
                scene.restart_kiosk(kiosk)
        self._settle_the_shut_out()

    def _settle_the_shut_out(self) -> None:
        """Those who may not come in are let in again: what they hold must all come to be there."""
        scene = self._scene
        for kiosk in scene.kiosks:
            if scene.shut_out(kiosk.store.identity.device):
                scene.let_in(kiosk.store.identity.device)

    # -- the faults --------------------------------------------------------------------------------

    def _kinds(self) -> dict[str, tuple[Callable[[], bool], int]]:
        """By name: what does it (and says whether it did), and how often it is chosen."""
        hub = self._scene.hub
        return {
            "line_cut": (self._cut, 6),
            "line_stalled": (self._stall, 5),
            "line_down": (self._down, 5),
            "line_slow": (self._slow, 2),
            "line_proxied": (self._proxy, 5),
            "frame_lost": (self._gap, 3),
            "kiosk_killed": (lambda: self._kill(self._kiosk(), Death.KILL), 4),
            "kiosk_power": (lambda: self._kill(self._kiosk(), Death.POWER), 5),
            "hub_killed": (lambda: self._kill(hub, Death.KILL), 3),
            "hub_power": (lambda: self._kill(hub, Death.POWER), 3),
            "hub_backup": (self._back_up, 4),
            "hub_restored": (self._restore, 5),
            "hub_untrusted": (self._untrust, 2),
            "kiosk_put_back": (self._put_back, 5),
            "kiosk_cloned": (self._clone, 1),
            "clock_jump": (self._jump, 3),
            "disk_refused": (self._refuse, 3),
            "hub_pruned": (self._prune, 3 if self._scene.habits.keep is not None else 0),
            "kiosk_revoked": (self._revoke, 2 if self._scene.habits.papers else 0),
            "stick_carried": (self._carry, 5),
            "event_poisoned": (self._poison, 2),
            "event_forged": (self._forge, 2),
        }

    def _kiosk(self) -> Kiosk:
        return self._chance.choice(self._scene.kiosks)

    def _cut(self) -> bool:
        open_ = [one for one in self._kiosk().connections if not one.over]
        for connection in open_:
            connection.cut()
        return bool(open_)

    def _stall(self) -> bool:
        open_ = [one for one in self._kiosk().connections if not one.over]
        way = self._chance.randrange(3)
        for connection in open_:
            seconds = self._chance.choice((2.0, 15.0, 45.0, 300.0))
            connection.stall(seconds, up=way != 1, down=way != 2)
        return bool(open_)

    def _down(self) -> bool:
        kiosk = self._kiosk()
        kiosk.weather.down = True
        for connection in kiosk.connections:
            connection.cut()
        seconds = self._chance.choice((20.0, 300.0, 1800.0))
        self._scene.loop.call_later(seconds, kiosk.weather.clear)
        return True

    def _slow(self) -> bool:
        kiosk = self._kiosk()
        kiosk.weather.mean = self._chance.choice((0.3, 3.0))
        self._scene.loop.call_later(600.0, kiosk.weather.clear)
        return True

    def _proxy(self) -> bool:
        """Something comes to stand between a kiosk and the hub that knows no WebSockets."""
        kiosk = self._kiosk()
        kiosk.weather.proxy = self._chance.choice(kiosk.weather.PROXIES)
        for connection in kiosk.connections:
            connection.cut()
        seconds = self._chance.choice((120.0, 600.0, 1800.0))
        self._scene.loop.call_later(seconds, kiosk.weather.clear)
        return True

    def _gap(self) -> bool:
        """A frame with news does not come, and the connection lives on."""
        kiosk = self._kiosk()
        kiosk.weather.gaps += 1
        return bool(kiosk.connections)

    def _kill(self, machine: Machine, how: Death) -> bool:
        """At once, or at some write from now."""
        if not machine.up or machine.disk.left is not None:
            return False
        if self._chance.random() < 0.3:
            machine.kill(how)
            return True
        disk = machine.disk
        if self._chance.random() < 0.5:
            disk.arm(self._chance.randint(1, _AT_THE_DOOR), how)
        else:
            disk.light(self._chance.randint(1, _FUSE), how)
        self._scene.loop.call_later(_LONGEST_FUSE, self._kill_anyway, machine, disk, how)
        return True

    def _kill_anyway(self, machine: Machine, disk: Disk, how: Death) -> None:
        if machine.disk is disk and not self._over:
            machine.kill(how)

    def _died(self, machine: Machine, how: Death) -> None:
        chance, scene = self._chance, self._scene
        if machine.disk.torn:
            scene.count("write_torn", machine.disk.torn)
        if self._over:
            return
        if how is Death.POWER:
            self._reboot(machine)
        pause = chance.choice((1.0, 20.0, 200.0))
        scene.loop.call_later(pause, self._again, machine)

    def _reboot(self, machine: Machine) -> None:
        """A new boot; a machine without a battery clock wakes up at some wrong time."""
        self._boots += 1
        machine.clock.restart(f"{machine.name}-boot-{self._boots}", self._drift())
        if machine is self._scene.hub:
            if self._chance.random() < 0.2:
                self.strike("hub_untrusted")
            return
        roll, clock = self._chance.random(), machine.clock
        if roll < 0.3:
            self._scene.count("clock_1970")
            clock.jump(_1970)
        elif roll < 0.45:
            self._scene.count("clock_2038")
            clock.jump(_2038)
        elif roll < 0.6:
            clock.jump(clock.truth())

    def _again(self, machine: Machine) -> None:
        if self._over or machine.up:
            return
        if machine is self._scene.hub:
            self._run(self._scene.restart_hub())
        else:
            self._scene.restart_kiosk(next(k for k in self._scene.kiosks if k is machine))

    def _back_up(self) -> bool:
        hub = self._scene.hub
        if not hub.up or hub.disk.left is not None:
            return False
        self._backups.append(self._scene.back_up_hub())
        return True

    def _restore(self) -> bool:
        """The hub's disk is lost, and some old backup is brought back, under a new epoch."""
        hub = self._scene.hub
        if not self._backups or not hub.up or hub.disk.left is not None:
            return False
        hub.kill(Death.KILL, heard=False)
        # What kiosks have let go of is in the last backup; an older one would not do.
        backups = self._backups if self._scene.habits.keep is None else self._backups[-1:]
        self._run(self._scene.restart_hub(self._chance.choice(backups)))
        return True

    def _put_back(self) -> bool:
        """A kiosk's disk is lost, and an older copy of it put in its place."""
        kiosk, hub = self._kiosk(), self._scene.hub
        if any(not one.up or one.disk.left is not None for one in (kiosk, hub)):
            return False
        copy = self._copies.pop(kiosk.name, None)
        if copy is None:
            self._copies[kiosk.name] = Picture.of(kiosk.disk.path)
            return False
        self._exchange(kiosk, copy)
        return True

    def _clone(self) -> bool:
        """A kiosk's disk is lost, and a copy of another's put in its place: two of one name."""
        if len(self._scene.kiosks) < 2:
            return False
        one, other = self._chance.sample(self._scene.kiosks, 2)
        if any(not m.up or m.disk.left is not None for m in (one, other, self._scene.hub)):
            return False
        self._exchange(one, Picture.of(other.disk.path))
        return True

    def _exchange(self, kiosk: Kiosk, disk: Picture) -> None:
        self._scene.lose_disk(kiosk)
        self._reboot(kiosk)  # nobody exchanges the disk of a running machine
        self._scene.put_back(kiosk, disk)

    def _prune(self) -> bool:
        """The hub lets go of old sessions, once every kiosk has read what is in them."""
        hub, keep = self._scene.hub, self._scene.habits.keep or 0.0
        if not hub.up or hub.disk.left is not None:
            return False
        hub.let_go_before(hub.clock.truth() - int(keep * NS))
        return True

    def _revoke(self) -> bool:
        """Staff shut a kiosk out; some are let in again later."""
        scene, kiosk = self._scene, self._kiosk()
        device = kiosk.store.identity.device if kiosk.up else ""
        if not device or not self._whole(kiosk, scene.hub) or len(scene.members) < 2:
            return False
        if scene.shut_out(device) or not scene.hub.revoke(device):
            return False
        scene.shut(device)
        if self._chance.random() < 0.5:
            pause = self._chance.choice((60.0, 900.0))
            scene.loop.call_later(pause, scene.let_in, device)
        return True

    def _carry(self) -> bool:
        """Somebody takes a kiosk's unsent events to another on a stick."""
        if len(self._scene.kiosks) < 2:
            return False
        one, other = self._chance.sample(self._scene.kiosks, 2)
        return self._whole(one, other) and self._scene.carry(one, other)

    def _poison(self) -> bool:
        """An event spoils on a kiosk's disk before it was sent."""
        kiosk = self._kiosk()
        return self._whole(kiosk) and self._scene.spoil(kiosk, self._chance)

    def _forge(self) -> bool:
        """Somebody offers the hub a decision as if a kiosk had made it."""
        kiosk = self._kiosk()
        return self._whole(kiosk, self._scene.hub) and self._scene.forge(kiosk, self._chance)

    def _whole(self, *machines: Machine) -> bool:
        return all(one.up and one.disk.left is None for one in machines)

    def _untrust(self) -> bool:
        """The hub is a small computer too: for a while it knows that it does not know the time."""
        clock = self._scene.hub.clock
        clock.trusted = False
        clock.jump(self._chance.choice((_1970, clock.truth() - 3600 * NS)))

        def known() -> None:
            clock.jump(clock.truth())
            clock.trusted = True

        self._scene.loop.call_later(self._chance.choice((60.0, 900.0)), known)
        return True

    def _jump(self) -> bool:
        clock = self._kiosk().clock
        clock.jump(self._chance.choice((EPOCH, clock.truth(), clock.wall() + 7200 * NS, _1970)))
        return True

    def _refuse(self) -> bool:
        machine = self._chance.choice((self._scene.hub, *self._scene.kiosks))
        at_the_door = self._chance.random() < 0.5
        machine.disk.refuse(self._chance.randint(1, 12), at_the_door=at_the_door)
        return machine.up

    def _drift(self) -> float:
        return self._chance.uniform(-80e-6, 80e-6)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        # Not as part of the life whose end may have called for it.
        self._works.append(self._context.copy().run(spawn, work, "trouble"))
