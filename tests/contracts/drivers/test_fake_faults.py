"""The fault plan of the fake driver: every call fails, hangs or dies where the plan says so, as
often as it says, across processes."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
from pathlib import Path

import msgspec
import pytest

from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault, write_plan
from abaca.errors import BackendError, OutcomeUnknown, Refused, Unavailable
from tests.contracts.drivers.fake_scene import METHODS, Scene, make_scene


@pytest.fixture
def scene() -> Scene:
    return make_scene()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


@pytest.fixture
def driver(tmp_path: Path, plan: Path) -> FakeDriver:
    return FakeDriver("fake", {"state_file": str(tmp_path / "state.json"), "fault_plan": str(plan)})


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_fail_before_and_after_its_effect(
    driver: FakeDriver, scene: Scene, plan: Path, method: str, when: str
) -> None:
    undisturbed = FakeDriver("undisturbed", {})
    for each in METHODS:
        before = driver.world()
        if each == method:
            write_plan(
                plan,
                [
                    msgspec.convert(
                        {
                            "method": method,
                            "error": "OutcomeUnknown",
                            "message": "lost",
                            "when": when,
                            "times": 1,
                        },
                        Fault,
                    )
                ],
            )
            with pytest.raises(OutcomeUnknown, match="lost"):
                scene.call(driver, each)
            if when == "before":
                assert driver.world() == before
        if not (each == method and when == "after"):
            scene.call(driver, each)
        scene.call(undisturbed, each)
        assert driver.world() == undisturbed.world()


@pytest.mark.parametrize("error", ["Unavailable", "OutcomeUnknown", "NoSpace", "Refused"])
def test_errors_carry_message_and_details(
    driver: FakeDriver, scene: Scene, plan: Path, error: str
) -> None:
    plan.write_text(
        json.dumps(
            [
                {
                    "method": "setup_server",
                    "error": error,
                    "message": "broken",
                    "details": {"server_name": "half"},
                }
            ]
        )
    )
    for _ in range(3):  # without "times": always
        with pytest.raises(BackendError, match="broken") as failure:
            scene.call(driver, "setup_server")
        assert (type(failure.value).__name__, failure.value.details) == (
            error,
            {"server_name": "half"},
        )
    plan.unlink()
    scene.call(driver, "setup_server")


def test_matching_by_id_and_by_method(driver: FakeDriver, scene: Scene, plan: Path) -> None:
    subnet = scene.update.added[0].share_network_subnet_id
    write_plan(
        plan,
        [
            Fault(match="other-server"),
            Fault(method="delete_share"),
            Fault(match=subnet[:12], message="that subnet"),
        ],
    )
    scene.make(driver)
    with pytest.raises(Refused, match="that subnet"):
        scene.call(driver, "update_share_server_network_allocations")
    write_plan(plan, [Fault(match="share-1")])
    scene.call(driver, "setup_server")
    with pytest.raises(Refused):
        scene.call(driver, "create_share")


def test_a_star_spares_what_is_asked_every_few_seconds(
    driver: FakeDriver, scene: Scene, plan: Path
) -> None:
    write_plan(plan, [Fault(method="*", error="Unavailable")])
    assert driver.get_pools()
    with pytest.raises(Unavailable):
        scene.call(driver, "setup_server")
    write_plan(
        plan,
        [
            Fault(method="get_pools", error="Unavailable"),
            Fault(method="check_for_setup_error", error="Unavailable"),
        ],
    )
    for method in ("get_pools", "check_for_setup_error"):
        with pytest.raises(Unavailable):
            scene.call(driver, method)


def test_counts_are_shared_by_instances_and_start_afresh_with_the_plan(
    tmp_path: Path, scene: Scene, plan: Path
) -> None:
    faults = [
        Fault(method="setup_server", error="Unavailable", times=2),
        Fault(method="setup_server", error="Refused", times=1),
    ]
    outcomes = []
    for run in range(5):
        if run == 4:
            write_plan(plan, faults)
        try:
            scene.call(FakeDriver("fake", {"fault_plan": str(plan)}), "setup_server")
            outcomes.append("done")
        except BackendError as error:
            outcomes.append(type(error).__name__)
        if run == 0:
            assert outcomes == ["done"]
            write_plan(plan, faults)
    assert outcomes == ["done", "Unavailable", "Unavailable", "Refused", "Unavailable"]


def test_a_bug_is_no_back_end_error(driver: FakeDriver, scene: Scene, plan: Path) -> None:
    write_plan(plan, [Fault(error="bug", message="unforeseen")])
    with pytest.raises(RuntimeError, match="unforeseen"):
        scene.call(driver, "setup_server")


def test_a_check_denies(driver: FakeDriver, scene: Scene, plan: Path) -> None:
    scene.make(driver)
    write_plan(
        plan, [Fault(method="check_update_share_server_network_allocations", error="deny", times=1)]
    )
    assert scene.call(driver, "check_update_share_server_network_allocations") is False
    assert scene.call(driver, "check_update_share_server_network_allocations") is True


def test_a_plan_with_a_mistake_is_not_ignored(driver: FakeDriver, scene: Scene, plan: Path) -> None:
    plan.write_text('[{"metod": "setup_server"}]')
    with pytest.raises(msgspec.ValidationError):
        scene.call(driver, "setup_server")
    plan.write_text('[{"method"')
    with pytest.raises(ValueError, match="not JSON"):
        scene.call(driver, "setup_server")


@pytest.mark.parametrize("release", ["plan", "event"])
def test_a_call_hangs_until_it_is_released(
    driver: FakeDriver, scene: Scene, plan: Path, release: str
) -> None:
    write_plan(plan, [Fault(method="setup_server", error="hang", times=1)])
    answered = threading.Event()

    def ask() -> None:
        scene.call(driver, "setup_server")
        answered.set()

    call = threading.Thread(target=ask)
    call.start()
    assert not answered.wait(0.3)
    assert driver.world()["servers"] == {}, "others go on meanwhile"
    if release == "plan":
        write_plan(plan, [])
    else:
        driver.faults.released.set()
    assert answered.wait(10)
    call.join()
    assert set(driver.world()["servers"]) == {"server-1"}


def _set_up(options: dict[str, str], scene: Scene) -> None:
    scene.call(FakeDriver("fake", options), "setup_server")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_process_dies_once_and_leaves_what_it_did(
    tmp_path: Path, scene: Scene, plan: Path, when: str
) -> None:
    options = {"state_file": str(tmp_path / "state.json"), "fault_plan": str(plan)}
    plan.write_text(
        json.dumps([{"method": "setup_server", "when": when, "kill": True, "times": 1}])
    )
    spawn = multiprocessing.get_context("spawn")
    exits = []
    for _ in range(2):
        process = spawn.Process(target=_set_up, args=(options, scene))
        process.start()
        process.join(60)
        exits.append((process.exitcode, bool(FakeDriver("fake", options).world()["servers"])))
    assert exits == [(-signal.SIGKILL, when == "after"), (0, True)]
