"""What can be said of the image and the composition without running them: who they are, what they may, that parts fit."""

import re

import yaml

from conftest import ROOT

DEPLOY = ROOT / "deploy"


def stages():
    """The image's stages, by name: the last one is what ships."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    found, name = {}, None
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("FROM "):
            words = line.split()
            name = words[3] if len(words) > 3 else "shipped"
            found[name] = [line]
        elif name and line and not line.startswith("#"):
            found[name].append(line)
    return found


def test_the_image_is_empty_but_for_the_binary_and_runs_as_nobody():
    made = stages()
    shipped = made["shipped"]
    assert shipped[0] == "FROM scratch" and "USER 65532:65532" in shipped
    assert not any(line.startswith(("RUN", "ADD")) for line in shipped)
    assert any(line.startswith("HEALTHCHECK") and '["/portcullis", "healthcheck"]' in line for line in shipped)
    labels = " ".join(line for line in shipped if line.startswith("LABEL"))
    for label in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{label}=" in labels
    for lines in made.values():
        for line in lines:
            for stage in re.findall(r"--from=(\w+)", line):
                assert stage in made, f"{stage} is no stage"


def test_the_bill_of_materials_goes_with_the_image_and_can_be_had_alone():
    made = stages()
    assert any("cargo cyclonedx --format json" in line for line in made["bill"])
    assert "COPY --from=bill /sbom /usr/share/sbom" in made["shipped"]
    assert made["sbom"] == ["FROM scratch AS sbom", "COPY --from=bill /sbom /"]


def test_no_part_of_the_composition_can_write_where_it_need_not_or_has_capabilities():
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in composed["services"].items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists() and volume.endswith(":ro"), f"{name}: {volume}"
            else:
                assert source in composed["volumes"], f"{name}: {volume}"


def test_grafana_finds_every_dashboard_and_its_source_of_data():
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]
    mounted = {volume.split(":")[1] for volume in composed["volumes"]}
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/portcullis.yaml").read_text())["providers"][0]
    wanted = {f"{provider['options']['path']}/{board.name}" for board in (DEPLOY / "grafana").glob("*.json")}
    assert len(wanted) == 4 and wanted <= mounted
    assert composed["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert source["type"] == "prometheus" and source["url"] == "http://prometheus:9090"
