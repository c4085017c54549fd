"""The Ray executor: what a stage trains and what generates, each in processes of its own, which the driver calls.

Who sits where is the plan's placement.  The classes in the processes are those of the inline executor, and an engine is
asked over HTTP as any server is: where one process trains and one generates, results equal those of one process bit by
bit.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Never

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.loss import ScoreLoss
from compiler.ir.machine import GpuPlacement, RoleLaunch
from compiler.ir.openness import Off
from compiler.ir.processes import filled, processes
from runtime.checkpoint.store import CheckpointStore
from runtime.engines.rollout.fleet import EngineFleet
from runtime.engines.rollout.fleet_dispatch import FleetRules
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.executors.executable import check_executable
from runtime.executors.inline import (
    Actors,
    Learners,
    algorithm_of,
    build_reward,
    build_set_rewards,
    has_critic,
    samples,
)
from runtime.executors.planned_server import PlannedServer
from runtime.executors.rank import Meeting, Role
from runtime.executors.ray_actor import Actor, Place, answers_of_all
from runtime.executors.ray_engines import RayEngine
from runtime.executors.ray_group import RankGroup
from runtime.executors.ray_machines import Machines
from runtime.executors.ray_shells import EngineShell, RankShell, ServerShell
from runtime.executors.served_engine import recorded_layers
from runtime.executors.waits import Wait, answer_s, collective_s, limited, waits_of
from runtime.faults.engine_keeper import EngineKeeper, EngineRestarts, KeeperRules
from runtime.weights.stored import StoredTensors

if TYPE_CHECKING:
    from torch import Tensor

    from runtime.engines.rollout.fleet_dispatch import FleetEngine
    from runtime.engines.rollout.routed_experts import RoutedLayers
    from runtime.protocols import RolloutEngine

_ATTEMPTS: Final = 4
# A server that does not start in time says so itself, with its log; only where its actor is silent is it asked for.
_LATE_S: Final = 30.0
_LONGEST_QUEUE_DIFFERENCE: Final = 8  # responses: a few groups' worth weighs less than a prompt that is there already
_PREFIX_BLOCKS: Final = 1 << 16
_REQUEUES: Final = 2


class RayExecutor:
    """Builds the actors of each stage; the processes of trainers live as long as the run.

    Raises: SpecError RLC0758 for a plan with parts that are not started here; RLC0760 if there is no cluster.
    """

    def __init__(
        self, experiment: Experiment[Never], *, root: Path, run_dir: Path, tell: Callable[[str], None]
    ) -> None:
        check_executable(experiment)
        self._tell = tell
        self._asking = Lock()
        self._restarts = EngineRestarts(experiment.run.engine_restarts)
        self._kept: dict[int, RayEngine] = {}
        self._keeper: EngineKeeper | None = None
        self._experiment, self._root, self._run_dir = experiment, root, run_dir
        self._token = secrets.token_urlsafe(32)
        self._waits = waits_of(experiment)
        self._ranks: dict[Role, list[Actor]] = {}
        self._engines: dict[int, Actor] = {}
        self._clients: dict[int, SGLangEngine] = {}
        self._machines: Machines | None = None

    def start(self, read: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Return tensors that the ranks read themselves."""
        return StoredTensors(read)

    def handed_on(self, actors: Actors, store: CheckpointStore) -> Mapping[str, Tensor]:
        """Return the weights that the next stage starts from: they are in the checkpoint at the end of this one."""
        checkpoint = store.latest_valid().checkpoint
        if checkpoint is None:
            raise InternalError("a stage ends with a checkpoint")
        return StoredTensors(checkpoint.weights)

    def begin(self, stage_index: int, weights: Mapping[str, Tensor]) -> Actors:
        """Return the actors of a stage.  Raises: SpecError as making them does."""
        experiment = self._experiment
        if self._machines is None:
            self._machines = Machines(experiment, patience_s=self._waits.placement_s)
        stage = experiment.stages[stage_index]
        places = self._served(stage_index, stage) if samples(stage) else {}
        policy = self._group("trainer", stage_index, weights)
        critic = self._group("critic", stage_index, weights) if has_critic(stage) else None
        is_scorer = isinstance(stage.algorithm.loss, ScoreLoss)
        engine, send = None, None
        if places:
            engine = self._engine(places, stage, policy)
            send = partial(self._send, policy, places, engine)
        return Actors(
            learners=Learners(None, policy) if is_scorer else Learners(policy, None),
            critic=critic,
            engine=engine,
            send_weights=send,
            reward=build_reward(stage, root=self._root),
            algorithm=algorithm_of(stage),
            set_rewards=build_set_rewards(stage, root=self._root),
            overlap=True,
        )

    def close(self) -> None:
        """End every process of the run."""
        self._close_clients()
        engines = (*self._engines.values(), *(kept.actor for kept in self._kept.values()))
        for actor in (*(rank for ranks in self._ranks.values() for rank in ranks), *engines):
            actor.end()
        if self._machines is not None:
            self._machines.close()

    def _group(self, role: Role, stage_index: int, weights: Mapping[str, Tensor]) -> RankGroup:
        """Return what a stage trains.  On GPUs a critic is in the processes of the trainer."""
        placement = self._experiment.placement
        at: Role = "trainer" if isinstance(placement, GpuPlacement) else role
        if at not in self._ranks:
            made = self._spread_ranks(stage_index) if isinstance(placement, GpuPlacement) else self._one_rank(role)
            self._ranks[at] = [rank for rank, _ in made]
            promises = [rank.begins("open", self._experiment, str(self._root), meeting) for rank, meeting in made]
            answers_of_all(self._ranks[at], promises, self._waits.of("open"), asked="open")
        group = RankGroup(self._ranks[at], role, self._waits, self._asking)
        group.begin(stage_index, weights)
        return group

    def _one_rank(self, role: Role) -> list[tuple[Actor, Meeting | None]]:
        return [(self._actor(RankShell, f"{role} 0", self._place(role, 0, 0), f"{role}_0", {}), None)]

    def _spread_ranks(self, stage_index: int) -> list[tuple[Actor, Meeting | None]]:
        launch = self._launch("trainer", self._experiment.stages[stage_index].name)
        found: list[tuple[Actor, Meeting | None]] = []
        for number, process in enumerate(processes(self._experiment, launch)):
            known = {**process.values, **self._known(process.node, process.first_node)}
            variables = {variable.name: filled(variable.value, known) for variable in launch.environment}
            place = self._place("trainer", number, process.node)
            meeting = Meeting(
                address=known["first_address"],
                port=int(process.values["port"]),
                rank=number,
                world_size=int(process.values["world_size"]),
                backend="gloo",
                timeout_s=collective_s(self._waits),
            )
            name = f"trainer {number}"
            found.append((self._actor(RankShell, name, place, f"trainer_{number}", variables), meeting))
        return found

    def _served(self, stage_index: int, stage: Stage[Never]) -> dict[int, ServerPlace]:
        """Have engines serve a stage, all of them at the same time, and return where they do."""
        if isinstance(stage.rollout, Off):
            return {}
        self._close_clients()
        placement = self._experiment.placement
        begun = self._planned(stage) if isinstance(placement, GpuPlacement) else self._one_engine(stage_index)
        actors = [self._kept[number].actor if self._kept else self._engines[number] for number in begun]
        urls = answers_of_all(actors, list(begun.values()), self._engine_wait(), asked="begin")
        return {number: self._server_place(url) for number, url in zip(begun, urls, strict=True)}

    def _one_engine(self, stage_index: int) -> dict[int, Any]:
        if not self._engines:
            place = self._place("rollout", 0, 0)
            self._engines[0] = self._actor(EngineShell, "rollout engine 0", place, "rollout_0", {})
        address = self._machine_addresses()[0]
        begins = self._engines[0].begins
        return {0: begins("begin", self._experiment, stage_index, str(self._root), address, self._token)}

    def _planned(self, stage: Stage[Never]) -> dict[int, Any]:
        launch, begun = self._launch("rollout", stage.name), dict[int, Any]()
        routed = recorded_layers(self._experiment, stage)
        for number, process in enumerate(processes(self._experiment, launch)):
            known = {
                **self._known(process.node, process.first_node),
                "token": self._token,
                "plan": str(self._run_dir / "plan.json"),
                "stage": stage.name,
            }
            asked = PlannedServer(
                launch=launch,
                process=process,
                known=known,
                log_dir=self._run_dir / "logs",
                startup_s=(self._waits.start.seconds or 0.0) + (self._waits.load.seconds or 0.0),
            )
            if number not in self._kept:
                place = self._place("rollout", number, process.node)
                make = partial(self._actor, ServerShell, f"rollout engine {number}", place, f"rollout_{number}", {})
                client_of = partial(self._new_client, number, routed)
                self._kept[number] = RayEngine(make, asked, self._engine_wait(), client_of)
            self._kept[number].serves(asked)
            begun[number] = self._kept[number].begins()
        return begun

    def _engine_wait(self) -> Wait:
        late_s = (self._waits.start.seconds or 0.0) + (self._waits.load.seconds or 0.0) + _LATE_S
        return limited(late_s, self._waits.start.path)

    def _new_client(self, number: int, routed: RoutedLayers | None, url: str) -> SGLangEngine:
        """Return a client of an engine that was started anew, in the place of the one before."""
        before = self._clients.pop(number, None)
        if before is not None:
            before.close()
        self._clients[number] = SGLangEngine(self._server_place(url), routed=routed)
        return self._clients[number]

    def _engine(self, places: Mapping[int, ServerPlace], stage: Stage[Never], policy: RankGroup) -> RolloutEngine:
        routed = recorded_layers(self._experiment, stage)
        self._clients = {number: SGLangEngine(place, routed=routed) for number, place in places.items()}
        if not isinstance(self._experiment.placement, GpuPlacement):
            return self._clients[0]
        revival_s = self._engine_wait().seconds or 0.0
        rules = FleetRules(
            most_ahead=_LONGEST_QUEUE_DIFFERENCE,
            most_blocks=_PREFIX_BLOCKS,
            most_requeues=_REQUEUES,
            revival_s=revival_s,
        )
        run = self._experiment.run
        kept = KeeperRules(interval_s=run.health_interval_s, answer_s=run.health_timeout_s, revival_s=revival_s)
        resend = partial(self._resend, policy, places)
        keeper = EngineKeeper(self._kept, kept, self._restarts, resend=resend, tell=self._tell)
        fleet = EngineFleet(list(self._clients.values()), rules, when_lost=keeper.lost)
        keeper.watch(fleet)
        self._keeper = keeper
        return fleet

    def _resend(self, group: RankGroup, places: Mapping[int, ServerPlace], number: int, engine: FleetEngine) -> bool:
        """Give an engine that was started anew the weights of the others, and return whether it has got them."""
        sent = group.resend_weights({number: places[number]})
        if sent is None:
            return False
        version, lost = sent
        if lost:
            raise lost[number]
        self._clients[number].note_weights(version=version)
        return True

    def _send(
        self, group: RankGroup, places: Mapping[int, ServerPlace], engine: RolloutEngine, version: int, *, verify: bool
    ) -> None:
        """Have the ranks send, and let this process's own clients know of it."""
        if not isinstance(engine, EngineFleet):
            for fault in group.send_weights(places, version, verify=verify).values():
                raise fault
            self._clients[0].note_weights(version=version)
            return
        keeper, has_any = self._keeper, False
        assert keeper is not None, "a fleet has its keeper"
        while not has_any:
            keeper.wait_for_one()
            with keeper.weights:
                waiting = keeper.take_waiting()
                there = {**engine.engines, **waiting}
                lost = group.send_weights({number: places[number] for number in there}, version, verify=verify)
                for number, fault in lost.items():
                    (keeper.lost if number in waiting else engine.lose)(number, fault)
                for number in there.keys() - lost.keys():
                    self._clients[number].note_weights(version=version)
                    if number in waiting:
                        engine.put_back(number, waiting[number])
                has_any = len(lost) < len(there)

    def _close_clients(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        for client in self._clients.values():
            client.close()
        self._clients = {}

    def _server_place(self, url: str) -> ServerPlace:
        waits = self._waits
        return ServerPlace(
            url=url, token=self._token, answer_s=answer_s(waits), silence_s=waits.silence_s, attempts=_ATTEMPTS
        )

    def _actor(self, kind: Any, name: str, place: Place, log: str, variables: Mapping[str, str]) -> Actor:
        if self._machines is None:
            raise InternalError("an actor without a place")
        options = self._machines.options(place.node, variables)
        return Actor(kind, name, place, log=self._run_dir / "logs" / f"{log}.log", options=options)

    def _launch(self, role: str, stage: str) -> RoleLaunch:
        placement = self._experiment.placement
        assert isinstance(placement, GpuPlacement), "what is launched is on GPUs"
        return next(one for one in placement.launches if one.role == role and stage in one.stages)

    def _known(self, node: int, first_node: int) -> dict[str, str]:
        """Return what is known of addresses, for words in braces."""
        addresses = self._machine_addresses()
        by_number = {f"node_{number}": address for number, address in enumerate(addresses)}
        return {"address": addresses[node], "first_address": addresses[first_node], **by_number}

    def _machine_addresses(self) -> tuple[str, ...]:
        if self._machines is None:
            raise InternalError("a run without machines")
        return self._machines.addresses

    def _place(self, role: str, number: int, node: int) -> Place:
        """Return the place of the process of a role with that number."""
        roles = [at for at, one in enumerate(self._experiment.placement.roles) if one.role == role]
        first = f"placement.roles.{roles[min(number, len(roles) - 1)]}" if roles else "placement.roles"
        return Place(first, node, self._machine_addresses()[node])
