"""What is rendered in B4: a chart of twelve templates with helpers, loops and `tpl`, and a base of six objects with overlays."""

from __future__ import annotations

from bench.workload import App, Files, Manifest, app_name, namespace_of, to_yaml

TEMPLATES = 12
"""Templates of the chart that make one object each, beside its helpers."""

BASE_OBJECTS = 6

_HELPERS = """\
{{- define "svc.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- define "svc.fullname" -}}
{{- printf "%s-%s" .Release.Name (include "svc.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- define "svc.labels" -}}
app.kubernetes.io/name: {{ include "svc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.version | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
"""

_WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "svc.fullname" . }}-PART
  labels:
    {{- include "svc.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels:
      app.kubernetes.io/instance: {{ .Release.Name }}
      part: PART
  template:
    metadata:
      labels:
        {{- include "svc.labels" . | nindent 8 }}
        part: PART
      annotations:
        checksum/config: {{ tpl .Values.banner . | sha256sum }}
    spec:
      serviceAccountName: {{ include "svc.fullname" . }}
      containers:
        - name: main
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
          env:
            {{- range $name, $value := .Values.env }}
            - name: {{ $name | upper | replace "." "_" }}
              value: {{ tpl $value $ | quote }}
            {{- end }}
          ports:
            {{- range .Values.ports }}
            - name: {{ .name }}
              containerPort: {{ .port }}
            {{- end }}
          {{- with .Values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
"""

_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {{ include "svc.fullname" . }}-PART
  labels:
    {{- include "svc.labels" . | nindent 4 }}
spec:
  selector:
    app.kubernetes.io/instance: {{ .Release.Name }}
    part: PART
  ports:
    {{- range .Values.ports }}
    - name: {{ .name }}
      port: {{ .port }}
    {{- end }}
"""

_SCALER = """\
{{- if .Values.scaling.enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "svc.fullname" . }}-PART
  labels:
    {{- include "svc.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "svc.fullname" . }}-PART
  minReplicas: 1
  maxReplicas: {{ .Values.scaling.max }}
{{- end }}
"""

_CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "svc.fullname" . }}-PART
  labels:
    {{- include "svc.labels" . | nindent 4 }}
data:
  banner: {{ tpl .Values.banner . | quote }}
  shared: "SHARED"
  settings.yaml: |
    {{- range $name, $value := .Values.env }}
    {{ $name }}: {{ $value | quote }}
    {{- end }}
"""

_ACCOUNT = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "svc.fullname" . }}
  labels:
    {{- include "svc.labels" . | nindent 4 }}
"""


def chart(shared: str = "0") -> Files:
    """The chart; `shared` changes every application."""
    found = {
        "chart/Chart.yaml": to_yaml({"apiVersion": "v2", "name": "service", "version": "1.2.3", "appVersion": "4.5"}),
        "chart/values.yaml": to_yaml(_values("0")),
        "chart/templates/_helpers.tpl": _HELPERS,
        "chart/templates/serviceaccount.yaml": _ACCOUNT,
    }
    for part in ("web", "api", "worker"):
        for name, template in (("deployment", _WORKLOAD), ("service", _SERVICE), ("scaler", _SCALER)):
            found[f"chart/templates/{part}-{name}.yaml"] = template.replace("PART", part)
    for part in ("one", "two"):
        found[f"chart/templates/config-{part}.yaml"] = _CONFIG.replace("PART", part).replace("SHARED", shared)
    return found


def _values(version: str) -> Manifest:
    return {
        "version": version,
        "replicas": 0,
        "banner": "{{ .Release.Name }} in {{ .Release.Namespace }}",
        "image": {"repository": "registry.example/service", "tag": "1.0"},
        "env": {f"setting.{n}": f"value {n} of {{{{ .Release.Name }}}}" for n in range(12)},
        "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "scaling": {"enabled": True, "max": 5},
    }


def base(shared: str = "0") -> Files:
    """The base; `shared` changes every application."""
    labels = {"app": "service"}
    meta: Manifest = {"name": "service", "labels": labels}
    container = {
        "name": "main",
        "image": "registry.example/service:1.0",
        "env": [{"name": f"SETTING_{n}", "value": f"value {n}"} for n in range(12)],
        "ports": [{"name": "http", "containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "service", "containers": [container]}}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    objects: dict[str, Manifest] = {
        "deployment": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        },
        "service": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        },
        "account": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        "role": {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules},
        "binding": {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "service"},
            "subjects": [{"kind": "ServiceAccount", "name": "service"}],
        },
    }
    generator = {"name": "settings", "literals": [f"shared={shared}", *(f"key{n}=value{n}" for n in range(12))]}
    listed = {"resources": [f"{name}.yaml" for name in objects], "configMapGenerator": [generator]}
    return {
        **{f"base/{name}.yaml": to_yaml(obj) for name, obj in objects.items()},
        "base/kustomization.yaml": to_yaml(listed),
    }


def own(number: int, flavour: str, version: str = "0") -> Files:
    """What belongs to one application."""
    name = app_name(number)
    if flavour == "helm":
        values = {"version": version, "image": {"tag": f"1.{number}"}, "env": {"setting.own": name}}
        return {f"apps/{name}/values.yaml": to_yaml(values)}
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "service"},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "OWN", "value": version}]}]}}},
    }
    overlay = {
        "resources": ["../../base"],
        "namePrefix": f"{name}-",
        "namespace": namespace_of(number),
        "labels": [{"pairs": {"team": name}, "includeSelectors": True}],
        "images": [{"name": "registry.example/service", "newTag": f"1.{number}"}],
        "patches": [{"path": "own.yaml"}],
    }
    return {f"apps/{name}/kustomization.yaml": to_yaml(overlay), f"apps/{name}/own.yaml": to_yaml(patch)}


def files(n: int, flavour: str) -> Files:
    """The repository."""
    found = {"README.md": "Rendered.\n", **(chart() if flavour == "helm" else base())}
    for number in range(n):
        found |= own(number, flavour)
    return found


def fleet(n: int, flavour: str) -> list[App]:
    """Applications that are compared and not deployed."""
    found = []
    for number in range(n):
        name, helm = app_name(number), flavour == "helm"
        found.append(
            App(
                name=f"{flavour}-{name}",
                namespace=namespace_of(number),
                repo=f"render-{flavour}",
                path="chart" if helm else f"apps/{name}",
                flavour=flavour,
                value_files=(f"../apps/{name}/values.yaml",) if helm else (),
                automated=False,
            )
        )
    return found
