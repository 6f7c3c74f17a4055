# SPDX-License-Identifier: MIT
"""That a parser which is not ours takes the text of prometheus_text(): prometheus_client (Debian: python3-prometheus-client). Called with the program."""

import subprocess
import sys

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    print("skipped: there is no prometheus_client")
    sys.exit(77)

said = subprocess.run([sys.argv[1], "child: print metrics"], capture_output=True, timeout=60, text=True, check=True).stdout
text = said.split("<<<\n")[1].split(">>>\n")[0]
families = {family.name: family for family in text_string_to_metric_families(text)}
samples = {}
for family in families.values():
    assert family.name.startswith("peal_"), family.name
    assert family.documentation.endswith("."), family.name
    assert family.type in ("counter", "gauge", "histogram"), (family.name, family.type)
    for sample in family.samples:
        assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
        samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
pools = {sample.labels["pool"] for family in families.values() for sample in family.samples if sample.labels}
without_pool = {family.name for family in families.values() if not family.samples[0].labels}
assert without_pool == {"peal_frames", "peal_frame_bytes"}, without_pool
assert pools == {"counted", 'a "b"\\\n'}, pools


def of(name, pool="counted"):
    return samples[name, (("pool", pool),)]


assert of("peal_tasks_accepted_total") == of("peal_tasks_completed_total") + of("peal_tasks_failed_total") + of("peal_tasks_canceled_total") + of("peal_tasks_live")
assert of("peal_tasks_failed_total") == 3
for name in ("peal_task_wait_seconds", "peal_task_seconds", "peal_item_run_seconds"):
    buckets = [(float(s.labels["le"]), s.value) for s in families[name].samples if s.name.endswith("_bucket") and s.labels["pool"] == "counted"]
    assert buckets == sorted(buckets) and [count for _, count in buckets] == sorted(count for _, count in buckets), buckets
    assert buckets[-1] == (float("inf"), of(name + "_count")) and of(name + "_count") > 0, buckets
    assert of(name + "_sum") >= 0
pending = [sample for sample in families["peal_tasks_pending"].samples if sample.labels["pool"] == "counted"]
assert {sample.labels["priority"]: sample.value for sample in pending} == {"high": 0, "normal": 0, "low": 0}, pending
states = [sample for sample in families["peal_worker_state"].samples if sample.labels["pool"] == "counted"]
assert len(states) == 2 * 4 and sum(sample.value for sample in states) == 2, states
print("ok: %d families, %d samples" % (len(families), len(samples)))
