package main

import (
	"slices"
	"strings"
	"testing"
)

func TestContenders(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"all", nil, "direct haproxy pgbouncer pgveil restricted named limited sealed sealed restricted shredding intent"},
		{"with another build", []string{"--other", "x"}, "direct haproxy pgbouncer pgveil restricted named limited sealed sealed restricted shredding intent other other restricted other sealed other sealed restricted other shredding other intent"},
		{"some", []string{"--other", "x", "--among", "^(pgveil|other)$"}, "pgveil other"},
		{"none", []string{"--among", "nobody"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseFlags(tt.args, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, c := range o.contenders() {
				names = append(names, c.name)
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("contenders %q, want %q", got, tt.want)
			}
		})
	}
}

// TestWorkloadsUnderTLS holds that each has a twin in clear, of the same kind.
func TestWorkloadsUnderTLS(t *testing.T) {
	o, err := parseFlags(nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	all := (&bench{o: o}).workloads()
	under := 0
	for _, w := range all {
		name, named := strings.CutPrefix(w.name, "tls/")
		if named != w.tls {
			t.Errorf("%s: TLS %v", w.name, w.tls)
		}
		if !named {
			continue
		}
		under++
		if !slices.ContainsFunc(all, func(c workload) bool { return c.name == name && !c.tls && c.kind == w.kind }) {
			t.Errorf("%s: nothing to compare it with", w.name)
		}
	}
	if under == 0 {
		t.Error("no workload is under TLS")
	}
}
