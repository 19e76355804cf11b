# The one interface to the project; .ci/run calls the same targets.
.PHONY: build demo test lint root-test e2e image chart-test bench-copy bench-output bench fuzz help

help:            ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

build:           ## the static binary, in target/
	@image/binary

demo:            ## the reference hook on this machine: a success, a failure, a retry
	@tests/demo/run

test:            ## every test that needs neither root nor a cluster
	@tests/run everyday

root-test:       ## the tests that need root: filesystems, namespaces, faults
	@tests/run root

lint:            ## formatting, clippy, licences, advisories, duplicate versions
	@tests/run lint

chart-test:      ## rendering, lint and unit tests of the charts
	@tests/charts/run

image:           ## the multi-arch image and its OCI archive
	@image/build

e2e:             ## a real Kubernetes with Helm 3 and Helm 4 (KUBECONFIG, or a cluster of its own)
	@tests/cluster/run

bench: bench-copy bench-output

bench-copy:      ## the copy beside cp, rsync, cpz, xcp, fcp
	python3 benches/copy $(ARGS)

bench-output: build    ## start-up and throughput beside tini, dumb-init, catatonit and tee
	cargo bench --bench output -- $(ARGS)

fuzz:            ## a minute of fuzzing the redaction (ARGS=-max_total_time=600: ten)
	@cargo +nightly fuzz --version >/dev/null 2>&1 || \
		{ echo "make fuzz needs: rustup toolchain install nightly; cargo install cargo-fuzz --locked" >&2; exit 78; }
	cargo +nightly fuzz run redact -- -max_total_time=60 $(ARGS)
