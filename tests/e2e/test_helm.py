"""Charts in a Git repository go live, and so does a push to one of their value files."""

from __future__ import annotations

import json

from tests.support.environment import Environment
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository

CHART = {
    "apps/my-app/Chart.yaml": "apiVersion: v2\nname: my-app\nversion: 0.1.0\nappVersion: '1.27'\n",
    "apps/my-app/values.yaml": 'replicaCount: 1\nimage:\n  repository: nginx\n  tag: "1.26"\nservice: {port: 80}\n',
    "apps/my-app/values-prod.yaml": 'replicaCount: 2\nimage:\n  tag: "1.27"\n',
    "apps/my-app/templates/_helpers.tpl": (
        '{{- define "my-app.labels" -}}\napp: {{ .Release.Name }}\nteam: {{ .Values.team | default "none" }}\n'
        "{{- end }}\n"
    ),
    "apps/my-app/templates/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {{- include "my-app.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicaCount }}
  selector:
    matchLabels: {app: {{ .Release.Name }}}
  template:
    metadata:
      labels: {{- include "my-app.labels" . | nindent 8 }}
    spec:
      containers:
        - name: app
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          ports: [{containerPort: 80}]
""",
    "apps/my-app/templates/service.yaml": """\
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: {{ .Values.service.port }}, targetPort: 80}]
""",
    "apps/my-app/templates/NOTES.txt": "Have a look at {{ .Release.Name }}.\n",
    "apps/my-app/templates/tests/reachable.yaml": """\
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: {helm.sh/hook: test}
spec: {containers: [{name: a, image: busybox}]}
""",
}


def application(name: str, repo: str, namespace: str, helm: dict[str, object] | None = None) -> str:
    """An Application with automation for the chart."""
    source: dict[str, object] = {"repoURL": repo, "path": "apps/my-app", "targetRevision": "HEAD"}
    if helm is not None:
        source["helm"] = helm
    return json.dumps(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": source,
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                "syncPolicy": {
                    "automated": {"prune": True, "selfHeal": True},
                    "syncOptions": ["CreateNamespace=true"],
                },
            },
        }
    )


def image(environment: Environment, name: str, namespace: str) -> str:
    found = environment.kubectl.json("get", "deployment", name, "-n", namespace)
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def test_a_chart_with_its_own_values_goes_live(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The release is called as the Application; tests and notes are no part of it."""
    repo.commit(CHART)
    environment.apply(application("chart", repo.url, namespace))
    app = environment.until_app("chart")
    assert app["status"]["sourceType"] == "Helm"
    assert sorted((one["kind"], one["name"]) for one in app["status"]["resources"]) == [
        ("Deployment", "chart"),
        ("Service", "chart"),
    ]
    assert image(environment, "chart", namespace) == "nginx:1.26"


def test_a_pushed_tag_in_a_value_file_goes_live(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """Value files, then parameters; a push to a value file is deployed, and its revision is what is Synced."""
    repo.commit(CHART)
    helm: dict[str, object] = {
        "releaseName": "shop",
        "valueFiles": ["values.yaml", "values-prod.yaml"],
        "parameters": [{"name": "service.port", "value": "8080"}, {"name": "team", "value": "$ARGOCD_APP_NAME"}],
    }
    environment.apply(application("my-app-prod", repo.url, namespace, helm))
    environment.until_app("my-app-prod")
    found = environment.kubectl.json("get", "deployment", "shop", "-n", namespace)
    assert (found["spec"]["replicas"], found["metadata"]["labels"]["team"]) == (2, "my-app-prod")
    service = environment.kubectl.json("get", "service", "shop", "-n", namespace)
    assert service["spec"]["ports"][0]["port"] == 8080
    assert image(environment, "shop", namespace) == "nginx:1.27"

    changed = 'replicaCount: 2\nimage:\n  tag: "1.28"\n'
    revision = repo.commit({"apps/my-app/values-prod.yaml": changed})

    def live() -> bool | Pending:
        now = image(environment, "shop", namespace)
        return now == "nginx:1.28" or Pending(now)

    environment.until(live, within_s=30, what="the tag of values-prod.yaml to be live")
    app = environment.until_app("my-app-prod")
    assert app["status"]["sync"]["revision"] == revision


def test_a_chart_that_fails_says_so_and_comes_back(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """A broken value file is a ComparisonError in Helm's words; what runs stays; the next commit mends it."""
    repo.commit(CHART)
    helm: dict[str, object] = {"valueFiles": ["values-prod.yaml"]}
    environment.apply(application("mended", repo.url, namespace, helm))
    environment.until_app("mended")
    repo.commit({"apps/my-app/templates/extra.yaml": '{{ fail "the team has no budget" }}\n'})

    def told() -> bool | Pending:
        conditions = (environment.application("mended").get("status") or {}).get("conditions") or []
        messages = [one["message"] for one in conditions if one["type"] == "ComparisonError"]
        return any("the team has no budget" in message for message in messages) or Pending(str(conditions))

    environment.until(told, within_s=30, what="the condition")
    assert image(environment, "mended", namespace) == "nginx:1.27"
    repo.commit({"apps/my-app/templates/extra.yaml": None})
    environment.until_app("mended")


def test_hooks_definitions_and_the_cluster_s_capabilities(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Helm's hooks run as sync hooks, its tests never; a definition comes before its object; the cluster is asked."""
    kind = namespace.replace("-", "").capitalize()
    group = f"{namespace}.example.com"
    repo.commit(
        {
            "apps/my-app/Chart.yaml": 'apiVersion: v2\nname: my-app\nversion: 0.1.0\nkubeVersion: ">=1.20.0-0"\n',
            "apps/my-app/crds/thing.yaml": f"""\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {kind.lower()}s.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: {kind}, plural: {kind.lower()}s, singular: {kind.lower()}, listKind: {kind}List}}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
""",
            "apps/my-app/templates/thing.yaml": f"apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: one}}\n",
            "apps/my-app/templates/cm.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: facts}
data:
  deployments: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
  routes: {{ .Capabilities.APIVersions.Has "route.openshift.io/v1" | quote }}
  version: {{ .Capabilities.KubeVersion.Version }}
""",
            "apps/my-app/templates/hook.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: before
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-1"}
""",
            "apps/my-app/templates/tests/t.yaml": """\
apiVersion: v1
kind: Pod
metadata: {name: t, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: a, image: busybox}]}
""",
        }
    )
    environment.apply(application("facts", repo.url, namespace))
    app = environment.until_app("facts")
    results = {one["name"]: one.get("hookType") for one in app["status"]["operationState"]["syncResult"]["resources"]}
    assert (results["before"], results["one"], "t" in results) == ("PreSync", None, False)
    assert environment.kubectl.json("get", "pod", "t", "-n", namespace) is None
    facts = environment.kubectl.json("get", "configmap", "facts", "-n", namespace)["data"]
    server = environment.kubectl.json("version")["serverVersion"]["gitVersion"]
    assert facts == {"deployments": "true", "routes": "false", "version": server.partition("+")[0]}
