package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/internal/redisserver"
)

// ruleFile is what a file of rules for Prometheus has.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

const deployDir = "../../deploy/alertmanager"

// TestRulesNameMetrics has every metric in the rules be one that a process with
// all of its parts exports.
func TestRulesNameMetrics(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deployDir, "pgveil.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file ruleFile
	if err := yaml.Load(text, &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	s.edit(t, "anchors:", "ship: [{name: good, file: {path: out.jsonl}}], anchors:")
	s.withTable(t)
	counters, err := redisserver.Start(t.Context(), redisserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer counters.Stop()
	s.edit(t, "audit:", "counters: {valkey: {address: \""+counters.Addr()+"\", tls: disable}}\naudit:")
	p := s.serve(t, "")
	conn, err := s.connect(t.Context(), p.address(t, listens), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE of_alice ()"); err == nil { // so that there is a refusal to count
		t.Error("alice may create tables")
	}
	answer, err := http.Get("http://" + p.address(t, admin) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	exported, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	series := regexp.MustCompile(`pgveil_[a-z_]+`)
	seen := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Expr == "" || alert.ParseSeverity(r.Labels["severity"]) == 0 || r.Annotations["summary"] == "" {
				t.Errorf("the rule %+v is not whole", r)
			}
			for _, name := range series.FindAllString(r.Expr, -1) {
				seen++
				if !regexp.MustCompile(`(?m)^` + name + `[{ ]`).Match(exported) {
					t.Errorf("%s: no metric is called %s", r.Alert, name)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d metrics are named", seen)
	}
}

// TestExampleRoute reads the example for Alertmanager: every route leads to a
// receiver that is there.
func TestExampleRoute(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deployDir, "alertmanager.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Route struct {
			Receiver string
			Routes   []struct{ Receiver string }
		}
		Receivers []struct{ Name string }
	}
	if err := yaml.Load(text, &file); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range file.Receivers {
		names = append(names, r.Name)
	}
	routes := append(file.Route.Routes, struct{ Receiver string }{file.Route.Receiver})
	for _, r := range routes {
		if !slices.Contains(names, r.Receiver) {
			t.Errorf("%q is no receiver", r.Receiver)
		}
	}
	if len(routes) < 2 || len(names) < 2 {
		t.Errorf("%d routes to %d receivers", len(routes), len(names))
	}
}
