"""Work: what each client is asked to do while its requests are captured."""

# ruff: noqa: E501 (commands are easier to read in wide rows)

from __future__ import annotations

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1.27", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {a: one}
"""
CHANGED = APP.replace("1.27", "1.28").replace("a: one", "a: two").replace("replicas: 2", "replicas: 1")
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {a: three, b: four}\n"

# A command, and what it reads from its standard input. What ends with an error ends so on both servers.
KUBECTL: tuple[tuple[str, str], ...] = (
    ("version", ""), ("api-resources", ""), ("api-versions", ""), ("cluster-info", ""),
    ("create configmap made --from-literal=a=b", ""), ("create secret generic made --from-literal=a=b", ""), ("create serviceaccount made", ""),
    ("create role made --verb=get,list --resource=pods", ""), ("create rolebinding made --role=made --serviceaccount=default:made", ""),
    ("create quota made --hard=configmaps=50", ""), ("create deployment made --image=nginx --replicas=0", ""), ("create job made --image=busybox -- true", ""),
    ("create cronjob made --image=busybox --schedule=@daily -- true", ""), ("create service clusterip made --tcp=80:80", ""),
    ("create ingress made --rule=example.com/*=made:80", ""), ("create poddisruptionbudget made --selector=app=web --min-available=1", ""), ("create token made", ""),
    ("create configmap made --from-literal=a=b", ""), ("create configmap dry --from-literal=a=b --dry-run=server -o yaml", ""),
    ("diff -f -", APP), ("apply -f -", APP), ("rollout status deployment/web --timeout=60s", ""), ("apply -f -", APP), ("diff -f -", CHANGED), ("apply -f -", CHANGED),
    ("apply --server-side -f -", OTHER), ("apply --server-side --force-conflicts -f -", OTHER), ("apply --server-side --field-manager=other -f -", OTHER.replace("three", "five")),
    ("apply --dry-run=server -f -", OTHER), ("apply -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndatum: {a: one}\n"), ("apply view-last-applied deployment/web", ""),
    ("get all", ""), ("get deployments -o wide", ""), ("get deployment web -o yaml", ""), ("get pods -l app=web", ""), ("get pods -A --field-selector=status.phase=Running", ""),
    ("get configmaps --watch --request-timeout=2s", ""), ("get nope", ""), ("get configmap nope", ""), ("get configmap,secret,service", ""), ("get cm conf -o jsonpath={.data.a}", ""), ("get --raw /version", ""),
    ("get deployments --chunk-size=1", ""), ("get events --sort-by=.lastTimestamp", ""), ("events", ""), ("describe deployment web", ""), ("describe service web", ""), ("describe configmap conf", ""), ("describe pods -l app=web", ""),
    ("explain deployment.spec.strategy", ""), ("explain configmap", ""), ("label configmap conf x=y", ""), ("label configmap conf x=z", ""), ("label configmap conf x=z --overwrite", ""), ("annotate configmap conf n=o", ""),
    ('patch configmap conf -p {"data":{"p":"q"}}', ""), ('patch configmap conf --type=merge -p {"data":{"p":null}}', ""), ('patch configmap conf --type=json -p [{"op":"add","path":"/data/r","value":"s"}]', ""),
    ('patch deployment web --subresource=scale --type=merge -p {"spec":{"replicas":2}}', ""), ("scale deployment web --replicas=1", ""), ("scale deployment web --replicas=3 --current-replicas=9", ""), ("autoscale deployment web --min=1 --max=3 --cpu-percent=80", ""),
    ("expose deployment web --name=web2 --port=81", ""), ("run solo --image=nginx", ""), ("wait pod/solo --for=condition=Ready --timeout=30s", ""), ("set image deployment/web web=nginx:1.29", ""), ("set env deployment/web A=B", ""),
    ("set resources deployment/web --limits=cpu=1", ""), ("rollout history deployment/web", ""), ("rollout pause deployment/web", ""), ("rollout resume deployment/web", ""), ("rollout undo deployment/web", ""), ("rollout restart deployment/web", ""),
    ("replace -f -", OTHER), ("edit configmap conf", ""), ("logs solo", ""), ("exec solo -- true", ""), ("cp solo:/x /dev/null", ""), ("auth can-i create pods", ""), ("auth can-i --list", ""), ("auth whoami", ""), ("auth can-i delete nodes --as=nobody", ""),
    ("top pods", ""), ("delete configmap conf", ""), ("delete configmap nope --ignore-not-found", ""), ("delete service,ingress,pdb --all", ""), ("delete deployment web --cascade=foreground --timeout=60s", ""), ("delete deployment made --cascade=orphan", ""),
    ("delete pod solo --grace-period=0 --force", ""), ("delete -f -", APP.partition("---\n")[2]), ("delete cronjob,job,role,rolebinding,quota,sa,secret made", ""), ("delete hpa web", ""),
)  # fmt: skip

CHART = {
    "Chart.yaml": "apiVersion: v2\nname: small\nversion: 1.0.0\n",
    "values.yaml": "text: one\nreplicas: 1\n",
    "crds/crd.yaml": """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: parts.CLIENT.charts.io}
spec:
  group: CLIENT.charts.io
  scope: Namespaced
  names: {plural: parts, kind: Part}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}]
""",
    "templates/all.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-conf}
data: {text: {{ .Values.text }}, revision: "{{ .Release.Revision }}"}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: x}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: c, image: "nginx:{{ .Values.text }}"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-hook, annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}}
data: {a: b}
""",
}
HELM = (
    "install rel CHART --wait --timeout=60s", "list", "status rel", "get manifest rel", "upgrade rel CHART --set text=two,replicas=2 --wait --timeout=60s", "history rel",
    "upgrade rel CHART --dry-run=server --set text=three", "upgrade rel CHART --set replicas=nope", "rollback rel 1 --wait --timeout=60s", "upgrade --install rel2 CHART --set replicas=0", "list -a", "uninstall rel", "uninstall rel2 --wait --timeout=60s",
)  # fmt: skip

ASYNCIO = """
import asyncio, sys
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.dynamic import DynamicClient
NS = sys.argv[1]
async def main():
    await config.load_kube_config(sys.argv[2])
    async with ApiClient() as api:
        core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
        await client.VersionApi(api).get_code()
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a", labels={"x": "y"}), data={"k": "v"})
        made = await core.create_namespaced_config_map(NS, body)
        await core.patch_namespaced_config_map("a", NS, {"data": {"k": "w"}})
        await core.patch_namespaced_config_map("a", NS, [{"op": "add", "path": "/data/z", "value": "1"}])
        await core.patch_namespaced_config_map("a", NS, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"q": "r"}}, field_manager="py", force=True, _content_type="application/apply-patch+yaml")
        found = await core.read_namespaced_config_map("a", NS)
        found.data["more"] = "1"
        await core.replace_namespaced_config_map("a", NS, found)
        made.data = {"stale": "1"}
        try: await core.replace_namespaced_config_map("a", NS, made)
        except client.ApiException: pass
        listed = await core.list_namespaced_config_map(NS, label_selector="x=y", limit=1)
        async with watch.Watch() as w:
            async for event in w.stream(core.list_namespaced_config_map, NS, timeout_seconds=1): pass
        async with watch.Watch() as w:
            async for event in w.stream(core.list_namespaced_config_map, NS, resource_version=listed.metadata.resource_version, timeout_seconds=1, allow_watch_bookmarks=True): pass
        spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
        await apps.create_namespaced_deployment(NS, {"metadata": {"name": "d"}, "spec": spec})
        await apps.patch_namespaced_deployment_scale("d", NS, {"spec": {"replicas": 2}})
        await apps.read_namespaced_deployment_status("d", NS)
        await client.AuthorizationV1Api(api).create_self_subject_access_review({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": NS}}})
        dynamic = await DynamicClient(api)
        maps = await dynamic.resources.get(api_version="v1", kind="ConfigMap")
        await maps.get(namespace=NS)
        await maps.server_side_apply(namespace=NS, body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"a": "b"}}, field_manager="dyn")
        await apps.delete_namespaced_deployment("d", NS, propagation_policy="Foreground")
        await core.delete_collection_namespaced_config_map(NS, label_selector="x=y")
        try: await core.read_namespaced_config_map("a", NS)
        except client.ApiException: pass
asyncio.run(main())
"""

KR8S = """
import asyncio, sys
import kr8s.asyncio
from kr8s.asyncio.objects import ConfigMap, Deployment
NS = sys.argv[1]
async def main():
    api = await kr8s.asyncio.api(kubeconfig=sys.argv[2])
    await api.version()
    one = await ConfigMap({"metadata": {"name": "a", "namespace": NS}, "data": {"k": "v"}}, api=api)
    await one.create()
    await one.patch({"data": {"k": "w"}})
    await one.label({"x": "y"})
    await one.annotate({"n": "o"})
    await one.refresh()
    assert await one.exists()
    [x async for x in api.get("configmaps", namespace=NS, label_selector={"x": "y"})]
    [x async for x in api.get("configmaps", "a", "nope", namespace=NS, allow_unknown_type=True)]
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
    d = await Deployment({"metadata": {"name": "d", "namespace": NS}, "spec": spec}, api=api)
    await d.create()
    await d.scale(1)
    async def first():
        async for event in api.watch("configmaps", namespace=NS): return event
    await asyncio.wait_for(first(), 10)
    await d.delete(propagation_policy="Foreground")
    await one.delete()
    try: await one.wait("delete", timeout=5)
    except Exception: pass
    await api.api_resources()
asyncio.run(main())
"""

OPERATOR_CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: examples.kopf.charts.io}
spec:
  group: kopf.charts.io
  scope: Namespaced
  names: {plural: examples, kind: Example, singular: example}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}, status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
OPERATOR = """
import kopf
@kopf.on.startup()
def configure(settings, **_): settings.posting.enabled = True
@kopf.on.create("kopf.charts.io", "v1", "examples")
def created(spec, patch, body, **_):
    kopf.event(body, type="Normal", reason="Made", message="made")
    patch.status["state"] = "made"
    return {"size": spec.get("size")}
@kopf.on.update("kopf.charts.io", "v1", "examples")
def updated(spec, patch, **_): patch.status["state"] = "changed"
@kopf.on.delete("kopf.charts.io", "v1", "examples")
def deleted(**_): pass
"""
# While the operator runs these are done by somebody else; they are kept among its requests.
OPERATED = (
    ("apply -f -", OPERATOR_CRD), ("apply -f -", "apiVersion: kopf.charts.io/v1\nkind: Example\nmetadata: {name: one}\nspec: {size: 1}\n"),
    ("apply -f -", "apiVersion: kopf.charts.io/v1\nkind: Example\nmetadata: {name: one}\nspec: {size: 2}\n"), ("delete example one --timeout=30s", ""),
)  # fmt: skip
