from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from smartlearn.core.schemas import metric_fault
from smartlearn.producers.sources.gpu import GpuSample, GpuSource
from smartlearn.producers.sources.host import HostSource
from smartlearn.producers.sources.machine import Machine
from smartlearn.producers.sources.process import ProcessSource

GB = 1024**3


class NVMLError(Exception):
    pass


class Nvml:
    """A driver with some GPUs; what `broken` names fails."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, gpus: int, broken: frozenset[str] = frozenset()) -> None:
        self.gpus, self.broken, self.opened = gpus, broken, 0

    def _ask(self, name: str, answer: Any) -> Any:
        if name in self.broken:
            raise NVMLError(name)
        return answer

    def nvmlInit(self) -> None:  # noqa: N802
        self.opened += 1
        self._ask("init", None)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return int(self._ask("count", self.gpus))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return self._ask("memory", SimpleNamespace(used=(handle + 1) * GB, total=24 * GB))

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return self._ask("utilization", SimpleNamespace(gpu=80 + handle))

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        return int(self._ask("temperature", 60))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return int(self._ask("power", 250_000))


def with_driver(monkeypatch: pytest.MonkeyPatch, nvml: Nvml) -> GpuSource:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return GpuSource()


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_nvml_tells_memory_in_gb_and_the_details(monkeypatch: pytest.MonkeyPatch) -> None:
    source = with_driver(monkeypatch, Nvml(2))
    first, second = source.sample()
    assert first == GpuSample("0", 1.0, 24.0, {"gpu_utilization": 80.0, "gpu_temperature": 60.0, "gpu_power_w": 250.0})
    assert (second.name, second.used) == ("1", 2.0)


def test_what_a_gpu_does_not_tell_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    source = with_driver(monkeypatch, Nvml(1, frozenset({"power", "utilization"})))
    assert source.sample()[0].metrics == {"gpu_temperature": 60.0}


@pytest.mark.parametrize("broken", ["count", "memory"])
def test_a_driver_that_fails_later_gives_no_gpus(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    assert with_driver(monkeypatch, Nvml(1, frozenset({broken}))).sample() == []


def test_a_driver_is_asked_for_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    nvml = Nvml(1, frozenset({"init"}))
    source = with_driver(monkeypatch, nvml)
    assert [source.sample() for _ in range(3)] == [[], [], []]
    assert nvml.opened == 1
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_driver")
def test_torch_is_not_imported_to_look_for_a_gpu() -> None:
    assert GpuSource().sample() == []
    assert "torch" not in sys.modules


def torch(*, initialized: bool = False, mps: bool = False) -> Any:
    cuda = SimpleNamespace(
        is_available=lambda: not mps,
        is_initialized=lambda: initialized,
        device_count=lambda: 2,
        mem_get_info=lambda number: ((10 + number) * GB, 24 * GB),
    )
    memory = SimpleNamespace(driver_allocated_memory=lambda: 6 * GB, recommended_max_memory=lambda: 18 * GB)
    return SimpleNamespace(
        cuda=cuda, mps=memory, backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps))
    )


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        (torch(initialized=True), [GpuSample("0", 14.0, 24.0), GpuSample("1", 13.0, 24.0)]),
        (torch(initialized=False), []),
        (torch(mps=True), [GpuSample("0", 6.0, 18.0)]),
        (SimpleNamespace(), []),
    ],
)
def test_a_torch_that_is_loaded_tells_cuda_or_mps(
    monkeypatch: pytest.MonkeyPatch, loaded: Any, expected: list[GpuSample]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", loaded)
    assert GpuSource().sample() == expected


def test_the_host_tells_what_it_can_under_allowed_names() -> None:
    sample = HostSource().sample()
    assert 0 <= sample.cpu_usage <= 100
    assert sample.memory_usage == pytest.approx(psutil.virtual_memory().percent, abs=5)
    assert [name for name in sample.metrics if metric_fault(name)] == []
    assert sample.metrics["processes"] >= 1
    assert len(sample.metrics) <= 200


def moving(monkeypatch: pytest.MonkeyPatch, moved: list[int]) -> None:
    """A disk and a network that have moved so many bytes."""
    lost = {"errin": 0, "errout": 0, "dropin": 0, "dropout": 0}
    monkeypatch.setattr(
        psutil,
        "disk_io_counters",
        lambda: SimpleNamespace(read_bytes=5_000_000 + moved[0], write_bytes=7, read_count=moved[0], write_count=0),
    )
    monkeypatch.setattr(
        psutil, "net_io_counters", lambda: SimpleNamespace(bytes_recv=moved[0] * 2, bytes_sent=0, **lost)
    )


def test_a_counter_that_begins_anew_has_no_rate_until_it_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now, moved = [10.0], [4_000_000]
    moving(monkeypatch, moved)
    source = HostSource(clock=lambda: now[0])
    now[0], moved[0] = 12.0, 1_000_000
    metrics = source.sample().metrics
    assert "disk_read_mb_s" not in metrics
    assert metrics["disk_write_mb_s"] == 0.0
    now[0], moved[0] = 14.0, 2_000_000
    assert source.sample().metrics["disk_read_mb_s"] == pytest.approx(0.5)


def test_the_busiest_process_is_told_after_a_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now, burnt = [100.0], [3.0]

    class Process:
        def __init__(self, pid: int) -> None:
            self.pid = pid

        def oneshot(self) -> Any:
            return contextlib.nullcontext()

        def memory_info(self) -> Any:
            if self.pid == 3:
                raise psutil.NoSuchProcess(3)
            return SimpleNamespace(rss=self.pid * 5_000_000)

        def cpu_times(self) -> Any:
            return SimpleNamespace(user=burnt[0] * self.pid, system=1.0)

    monkeypatch.setattr(psutil, "process_iter", lambda: [Process(pid) for pid in (1, 2, 3)])
    source = ProcessSource(clock=lambda: now[0])
    first = source.sample()
    assert first["process_memory_mb"] == 10.0
    assert "process_cpu" not in first
    now[0], burnt[0] = 110.0, 4.0
    assert "process_cpu" not in source.sample()
    now[0], burnt[0] = 140.0, 9.0
    assert source.sample()["process_cpu"] == pytest.approx(100 * 2 * (9.0 - 3.0) / 40)


def test_rates_are_what_moved_over_the_time_between(monkeypatch: pytest.MonkeyPatch) -> None:
    now, moved = [10.0], [0]
    moving(monkeypatch, moved)
    source = HostSource(clock=lambda: now[0])
    now[0], moved[0] = 12.0, 3_000_000
    metrics = source.sample().metrics
    assert (metrics["disk_read_mb_s"], metrics["disk_write_mb_s"]) == (1.5, 0.0)
    assert (metrics["network_in_mb_s"], metrics["network_out_mb_s"]) == (3.0, 0.0)


@pytest.mark.parametrize(("cores", "names"), [(1, 0), (4, 4), (64, 64), (256, 2)])
def test_many_cores_are_told_by_their_extremes(monkeypatch: pytest.MonkeyPatch, cores: int, names: int) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda percpu=False: [float(n % 100) for n in range(cores)])
    metrics = HostSource().sample().metrics
    assert len([name for name in metrics if name.startswith("cpu_core")]) == names


def test_what_a_system_does_not_tell_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise OSError

    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "net_io_counters", fail)
    monkeypatch.setattr(psutil, "disk_usage", fail)
    monkeypatch.setattr(psutil, "swap_memory", fail)
    monkeypatch.setattr("os.getloadavg", fail)
    names = set(HostSource().sample().metrics)
    assert {name for name in names if not name.startswith("cpu_")} == {
        "processes", "process_memory_mb", "memory_available_gb",
    }  # fmt: skip


def test_one_gpu_is_part_of_the_machines_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(1))
    sample = Machine("n1").sample()
    (event,) = sample.events
    assert (event["node"], event["gpu_memory_used"], event["gpu_utilization"]) == ("n1", 1.0, 80.0)
    assert "gpu" not in event
    assert (sample.gpu_memory_used, sample.gpu_memory_total) == (1.0, 24.0)


def test_several_gpus_have_an_event_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(2))
    sample = Machine("n1").sample()
    host, first, second = sample.events
    assert "gpu_memory_used" not in host
    assert [(event["node"], event["gpu"], event["gpu_memory_used"]) for event in (first, second)] == [
        ("n1", "0", 1.0), ("n1", "1", 2.0),
    ]  # fmt: skip
    assert (sample.gpu_memory_used, sample.gpu_memory_total) == (3.0, 48.0)
