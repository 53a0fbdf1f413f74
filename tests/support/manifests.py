"""The guide's manifests with names to choose."""

from __future__ import annotations


def deployment(name: str = "my-app", *, image: str = "nginx:1.27", replicas: int = 2, namespace: str = "") -> str:
    """apps/my-app/deployment.yaml."""
    where = f"\n  namespace: {namespace}" if namespace else ""
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}{where}
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
        - name: {name}
          image: {image}
          ports:
            - containerPort: 80
          resources:
            requests:
              cpu: 100m
              memory: 128Mi
            limits:
              cpu: 200m
              memory: 256Mi
"""


def service(name: str = "my-app", *, namespace: str = "") -> str:
    """apps/my-app/service.yaml."""
    where = f"\n  namespace: {namespace}" if namespace else ""
    return f"""\
apiVersion: v1
kind: Service
metadata:
  name: {name}{where}
spec:
  selector:
    app: {name}
  ports:
    - port: 80
      targetPort: 80
  type: ClusterIP
"""


def config_map(name: str, **data: str) -> str:
    """A ConfigMap with these entries."""
    lines = "".join(f'  {key}: "{value}"\n' for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{lines}"


def my_app(*, image: str = "nginx:1.27") -> dict[str, str | None]:
    """The files of the guide's first application."""
    return {
        "apps/my-app/deployment.yaml": deployment(image=image),
        "apps/my-app/service.yaml": service(),
        "README.md": "# k8s-manifests\n",
    }
