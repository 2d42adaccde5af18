package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// From a database of an application whose policy nobody has written to an
// inventory, by the configuration that serve is started with. The application's
// tables are in a schema with a name of its own.
func TestPresetOfALiveDatabase(t *testing.T) {
	server, database := pgtest.Server(t), pgtest.Database(t, "")
	conn := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	text, err := os.ReadFile("../../presets/twenty/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	schema := strings.ReplaceAll(string(text), "workspace.", `"workspace_3X8".`)
	schema = strings.Replace(schema, "CREATE SCHEMA workspace;", `CREATE SCHEMA "workspace_3X8";`, 1)
	if _, err := conn.Exec(t.Context(), schema+`ALTER TABLE "workspace_3X8".person DROP COLUMN phone, ADD COLUMN pets text`); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, server, database, "127.0.0.1:0", "")
	if out := s.verb(t, 0, "preset", "detect", "--config", "pgveil.yaml"); !strings.HasPrefix(out, "twenty\t14 of 14 tables in schema workspace_3X8\tlikely\n") {
		t.Errorf("detect says\n%s", out)
	}
	out := s.verb(t, 0, "preset", "apply", "twenty", "--config", "pgveil.yaml", "--out", "policy")
	for _, want := range []string{
		"Twenty in schema workspace_3X8: wrote 4 files to policy\n",
		"left out, as this database does not have it (1):\n  class phone: \"workspace_3X8\".person.phone\n",
		"the preset does not know (1):\n  workspace_3X8.person.pets\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("apply lacks %q:\n%s", want, out)
		}
	}
	path := filepath.Join(s.dir, "pgveil.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(config), filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	inventory := s.verb(t, 0, "inventory", "--config", "pgveil.yaml", "--format", "csv")
	if !strings.Contains(inventory, "workspace_3X8.person,pets,text,,") || !strings.Contains(inventory, "service,contract,service_agent,clear,") {
		t.Errorf("the inventory is\n%.2000s", inventory)
	}
}
