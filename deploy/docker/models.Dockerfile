# Your models as an image, for deploy/kubernetes/components/models-image and models-init. Its context is a model repository,
# NAME/VERSION/manifest.json (docs/bundle.md):
#
#   docker build -t registry.example.com/pixpool-models:1.0 -f deploy/docker/models.Dockerfile models
#   docker push registry.example.com/pixpool-models:1.0
#
# busybox is there for the copy of models-init; where images are mounted, `FROM scratch` does as well.
FROM busybox:1.37.0
COPY . /models
USER 65532:65532
