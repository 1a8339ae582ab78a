"""Writes objects, and holds what a watch and a list say against what was written. Prints "half" when half is
written, so that whoever started it can kill a master."""

import os
import threading
import time

import urllib3
from kubernetes import client, config, watch

COUNT = 200
PATIENCE_SECONDS = 60
NAMESPACE = "python"


def eventually(check):
    """What check returns when it no longer raises."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return check()
        except (AssertionError, client.ApiException, urllib3.exceptions.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def read(core, name):
    """The ConfigMap, or None."""
    try:
        return core.read_namespaced_config_map(name, NAMESPACE)
    except client.ApiException as refused:
        if refused.status != 404:
            raise
        return None


def surely(core, name, write, is_done):
    """Does a write until it certainly happened: an answer that is lost with a master says nothing."""

    def once():
        try:
            write()
        except (client.ApiException, urllib3.exceptions.HTTPError) as error:
            print(name, type(error).__name__, getattr(error, "status", ""), flush=True)
        known = read(core, name)
        assert is_done(known), f"{name} was not written"
        return known

    return eventually(once)


class Watcher(threading.Thread):
    """Follows ConfigMaps from a revision on, over whatever breaks."""

    def __init__(self, core, revision):
        super().__init__(daemon=True)
        self.core, self.revision, self.seen = core, revision, []

    def run(self):
        while True:
            try:
                events = watch.Watch().stream(
                    self.core.list_namespaced_config_map, NAMESPACE, resource_version=self.revision, timeout_seconds=120
                )
                for event in events:
                    held = event["object"]
                    self.revision = held.metadata.resource_version
                    self.seen.append((event["type"], held.metadata.name, held.data))
            except (client.ApiException, urllib3.exceptions.HTTPError) as error:
                print("watch", type(error).__name__, getattr(error, "status", ""), flush=True)
                time.sleep(0.05)


def write_map(core, number, written, held):
    """Creates a ConfigMap, changes every third, and deletes every fifth."""
    name = f"map-{number}"
    given = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data={"number": str(number)})
    held[name] = surely(core, name, lambda: core.create_namespaced_config_map(NAMESPACE, given), lambda known: known)
    written.append(("ADDED", name, {"number": str(number)}))
    if number % 3 == 0:
        patch = {"data": {"changed": "yes"}}
        held[name] = surely(
            core,
            name,
            lambda: core.patch_namespaced_config_map(name, NAMESPACE, patch),
            lambda known: "changed" in known.data,
        )
        written.append(("MODIFIED", name, held[name].data))
    if number % 5 == 0:
        data = held.pop(name).data
        surely(core, name, lambda: core.delete_namespaced_config_map(name, NAMESPACE), lambda known: known is None)
        written.append(("DELETED", name, data))


def check_pages(core, held):
    """Whether a list in pages is what was written."""
    found, token = {}, None
    while token != "":
        page = core.list_namespaced_config_map(NAMESPACE, limit=17, _continue=token)
        found.update({item.metadata.name: item for item in page.items})
        token = page.metadata._continue or ""
    assert found.keys() == held.keys(), f"{found.keys() ^ held.keys()}"
    for name, item in found.items():
        # A list says what its items are.
        expected = dict(held[name].to_dict(), kind=None, api_version=None)
        assert item.to_dict() == expected, f"{item} is not {expected}"


def check_deployments(apps):
    """Whether a typed object comes back as it was sent, with defaults."""
    labels = {"app": "web"}
    container = client.V1Container(
        name="main", image="nginx", resources=client.V1ResourceRequirements(requests={"cpu": "100m"})
    )
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template)
    made = apps.create_namespaced_deployment(
        NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    )
    assert made.spec.strategy.type == "RollingUpdate" and made.spec.template.spec.restart_policy == "Always", made
    assert apps.read_namespaced_deployment("web", NAMESPACE) == made
    scaled = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 5}})
    assert scaled.spec.replicas == 5, scaled


def main():
    config.load_kube_config(os.environ["KUBECONFIG"])
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    watcher = Watcher(core, core.list_namespaced_config_map(NAMESPACE).metadata.resource_version)
    watcher.start()
    written, held = [], {}
    for number in range(COUNT):
        if number == COUNT // 2:
            print("half", flush=True)
        write_map(core, number, written, held)

    def is_seen():
        assert watcher.seen == written, f"{len(watcher.seen)} events instead of {len(written)}"

    eventually(is_seen)
    eventually(lambda: check_pages(core, held))
    check_deployments(apps)
    print("nothing was lost", flush=True)


main()
