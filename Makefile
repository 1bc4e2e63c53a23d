# What each target does stands in README.md and CONTRIBUTING.md.
PY := .venv/bin/python
LOCK := .venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

XEN ?= 4.17
XEN_TESTS ?= tests/xen tests/contract -m "not slow"
ON_XEN := $(PY) -m pytest --pv-real-xen --pv-xen $(XEN) --reruns 1 --only-rerun TripleFault --durations=20

.PHONY: demo test demo-xen test-xen test-xen-slow check bench lock clean

demo:
	@tools/setup.sh runtime
	@.venv/bin/pvhck run --hosts hosts.ini --profile smoke --build synthetic

test:
	@tools/setup.sh dev
	@$(PY) -m pytest tests -m "not xen" -n 4 --dist loadfile

demo-xen:
	@tools/setup.sh runtime
	@.venv/bin/pvhck lab xen demo

test-xen:
	@tools/setup.sh dev
	@$(ON_XEN) $(XEN_TESTS)

test-xen-slow:
	@tools/setup.sh dev
	@$(ON_XEN) tests/xen tests/contract -m slow

check:
	@tools/setup.sh dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m harness.guest.agent.lint

bench:
	@tools/setup.sh dev
	@$(PY) -m benchmarks

lock:
	@tools/setup.sh dev
	@$(PY) -m pip install --quiet pip-tools # not in dev.in: nothing but this target needs it
	@for list in runtime build dev libvirt; do $(LOCK) -o requirements/$$list.txt requirements/$$list.in; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis *.egg-info
