package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// goModule is a module whose tests use PostgreSQL.
type goModule struct{ path, version string }

// test runs the tests of all packages of the module, with its own go.mod and
// go.sum, so by the versions that it is tested with at home.
func (m goModule) test(ctx context.Context, st *stage, env ...string) (results, error) {
	dir, err := m.copy(ctx, st)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-p=1", "-vet=off", "./...")
	cmd.Dir, cmd.Env = dir, append(foreignEnv(), env...)
	cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod", "GOWORK=off")
	stderr, err := os.Create(filepath.Join(st.keep, "stderr")) // what is fetched, which is no JSON
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	log, err := st.output(cmd, "log.json", true)
	if err != nil {
		return nil, err
	}
	return parseGoTest(log, m.path)
}

// copy gives a folder with the module's files that its tests may write to.
func (m goModule) copy(ctx context.Context, st *stage) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.path+"@"+m.version)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w\n%s", m.path, err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("fetching %s: %w", m.path, err)
	}
	dir := filepath.Join(st.dir, "module")
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		return "", fmt.Errorf("copying %s: %w", m.path, err)
	}
	return dir, nil
}

// foreignEnv is this process's environment without what steers clients of
// PostgreSQL, which tests of their configuration would find.
func foreignEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") {
			env = append(env, v)
		}
	}
	return env
}

// temporary is a folder of the moment, which some tests are named after.
var temporary = regexp.MustCompile(regexp.QuoteMeta(os.TempDir()) + "/[^/]+")

// parseGoTest reads what go test -json prints. A package is a test too: one
// that does not build, or that panics, has no others.
func parseGoTest(log, module string) (results, error) {
	r := results{}
	d := json.NewDecoder(strings.NewReader(log))
	for d.More() {
		var e struct{ Action, Package, Test string }
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("reading what go test says: %w", err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(e.Package, module), "/")
		if e.Test != "" {
			name = strings.TrimPrefix(name+"/"+temporary.ReplaceAllString(e.Test, "TMP"), "/")
		}
		switch e.Action {
		case "pass", "fail", "skip":
			r[name] = outcome{status: e.Action}
		}
	}
	return r, nil
}
