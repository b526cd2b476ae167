"""`mimic bench retarget`."""

from commands import call

from motions.clips import demo_bvh
from retarget.bench import RetargetBench


def test_the_command_reads_captures_at_the_rate_that_is_given(monkeypatch):
    seen = []

    def bench(sources, body, say, mapping):
        seen.extend(source.fps for source in sources)
        return RetargetBench(0, 0.0, 1.0, 0.0, None, None, ())

    monkeypatch.setattr("retarget.bench.bench_retarget", bench)
    argv = ("--motion", demo_bvh(), "--fps", "25", "--backend", "native", "--device", "cpu")
    assert call("bench", "retarget", "--robot", "humanoid", *argv) == 0
    assert seen == [25.0]
