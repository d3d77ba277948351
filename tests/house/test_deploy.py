"""The templates for clusters: their schemas, and the chain of jobs, played by local processes."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from benchmarks.house import PROJECT
from streams.hosts.schedulers import place_of
from tests.makers.data import write_clip

DEPLOY = PROJECT / "deploy"
# The resource definitions of JobSet and of Dask's operator, if somebody has put them there: docs/training/machines.md.
SCHEMAS = os.environ.get("TWO_STREAM_SCHEMAS", "")
# Options of sbatch that the scripts use, from its manual.
SBATCH = {
    *("array", "cpus-per-task", "dependency", "gpus", "gpus-per-node", "job-name", "nodes", "ntasks-per-node"),
    *("open-mode", "output", "parsable", "requeue", "signal", "time"),
}


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("slurm/*.sh")), ids=lambda path: path.name)
def test_scripts_for_slurm_can_be_read_and_have_options_that_exist(path):
    text = path.read_text()

    assert subprocess.run(["bash", "-n", path], capture_output=True).stderr == b""
    assert path.stat().st_mode & stat.S_IXUSR
    assert set(re.findall(r"#SBATCH --([\w-]+)", text)) <= SBATCH
    if "sbatch " in text:
        assert set(
            re.findall(r"--([a-z-]+)", re.sub(r"deploy/slurm/.*|.*--dataset.*|^#.*", "", text, flags=re.M))
        ) <= SBATCH | {
            "partition",
            "account",
        }


def documents():
    for path in sorted(DEPLOY.glob("kubernetes/*.yaml")):
        yield path.name, yaml.safe_load(path.read_text())


def strict(schema):
    """The schema without fields that it does not name, as `kubectl apply --validate=strict` takes it."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(value) for name, value in schema.items()}
    if found.pop("x-kubernetes-int-or-string", False):
        return {}
    keeps = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & found.keys()
    return found if keeps or "properties" not in found else {**found, "additionalProperties": False}


@pytest.mark.skipif(not SCHEMAS, reason="TWO_STREAM_SCHEMAS names no folder of resource definitions")
@pytest.mark.parametrize("name", ["train.yaml", "dask.yaml"])
def test_resources_fit_the_definitions_of_their_operators(name):
    document = dict(documents())[name]
    group, _, version = document.pop("apiVersion").partition("/")
    kind = document.pop("kind")
    document.pop("metadata")

    definitions = [yaml.safe_load(path.read_text()) for path in Path(SCHEMAS).glob("*.yaml")]
    (spec,) = (
        each["spec"] for each in definitions if each["spec"]["names"]["kind"] == kind and each["spec"]["group"] == group
    )
    (schema,) = (each["schema"]["openAPIV3Schema"] for each in spec["versions"] if each["name"] == version)

    jsonschema.Draft7Validator(strict(schema)).validate(document)


def test_pods_of_a_training_find_each_other_by_the_names_that_a_job_set_gives_them():
    job_set = dict(documents())["train.yaml"]
    (job,) = job_set["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]} | {"JOB_COMPLETION_INDEX": "3"}

    hosts, index = place_of(environment)

    # https://jobset.sigs.k8s.io: <job set>-<job>-<its number>-<number of the pod>.<subdomain>
    first = f"{job_set['metadata']['name']}-{job['name']}-0-0.{job_set['spec']['network']['subdomain']}"
    assert hosts.split(",")[0] == f"{first}:{container['ports'][0]['containerPort']}"
    assert len(hosts.split(",")) == job["template"]["spec"]["completions"] == job["template"]["spec"]["parallelism"]
    assert index == 3


def test_nothing_of_a_cluster_listens_to_strangers():
    found = dict(documents())

    assert found["dask.yaml"]["spec"]["scheduler"]["service"]["type"] == "ClusterIP"
    for part in ("worker", "scheduler"):
        (container,) = found["dask.yaml"]["spec"][part]["spec"]["containers"]
        assert {"--tls-ca-file=/tls/cert.pem", "--tls-key=/tls/key.pem"} <= set(container["args"])
    assert found["network.yaml"]["spec"]["policyTypes"] == ["Ingress"]


# Plays Slurm: runs the script of a job at once, once for each number of its array, and prints the number of the job.
SBATCH_HERE = """#!/usr/bin/env bash
set -e
count=1 words=()
while [[ $1 == --* ]]; do
    [[ $1 == --array=1-* ]] && count=${1#--array=1-}
    words+=("$1")
    shift
done
echo "${words[*]} $*" >> "$PLAYED/jobs.txt"
number=$(wc -l < "$PLAYED/jobs.txt")
for task in $(seq "$count"); do
    SLURM_JOB_ID=$number SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$count SLURM_CPUS_PER_TASK=1 \\
        bash "$@" >> "$PLAYED/out.txt" 2>&1
done
echo "$number"
"""
SRUN_HERE = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_chain_of_jobs_leads_from_videos_to_the_report(tmp_path):
    project, tools = tmp_path / "project", tmp_path / "bin"
    shutil.copytree(DEPLOY, project / "deploy")
    tools.mkdir()
    run = f'#!/usr/bin/env bash\nexec {sys.executable} -m two_stream "$@"\n'
    for path, text in ((project / "run", run), (tools / "sbatch", SBATCH_HERE), (tools / "srun", SRUN_HERE)):
        path.write_text(text)
        path.chmod(0o755)
    for number in range(12):
        write_clip(tmp_path / "mine" / "videos" / f"class{number % 2}" / f"v{number:02d}.avi", 8, seed=number)
    options = "--backbone small --weights none --crop-size 32 --epochs 1 --batch-size 4"
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}
    environment |= {"PLAYED": str(tmp_path), "PARTS": "2", "NODES": "1", "TRAIN": options}
    environment |= {"ROOT": str(tmp_path / "mine"), "RUNS": str(tmp_path / "runs")}

    done = subprocess.run(
        [project / "deploy" / "slurm" / "submit.sh", "mine", "--partition=here"],
        capture_output=True,
        text=True,
        env=environment,
    )

    out = tmp_path / "out.txt"
    assert done.returncode == 0, done.stderr + (out.read_text() if out.exists() else "")
    assert "Submitted: prepare 1, merge 2, train until 4, score 5, report 6." in done.stdout
    jobs = (tmp_path / "jobs.txt").read_text().splitlines()
    assert all("--requeue" in job and "--partition=here" in job for job in jobs)
    assert [re.findall(r"afterok:(\d+)", job) for job in jobs] == [[], ["1"], ["2"], ["3"], ["4"], ["5"]]
    assert (tmp_path / "runs" / "mine" / "fusion" / "split1" / "report.html").is_file()
