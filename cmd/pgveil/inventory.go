package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/report"
)

// inventoryCommand is one call of "pgveil inventory".
type inventoryCommand struct {
	source policySource
	config string
	diff   string
	output reportOutput
	now    time.Time
	stdout io.Writer
	stderr io.Writer
}

// runInventory runs "pgveil inventory".
func runInventory(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("inventory", "",
		`Lists every column that a policy governs: its class, and what that is; whose data
it is, and what it refers to; which roles see it for which purposes, on which
legal basis, and how; what is kept for how long, and what an erasure does with it;
limits; and the columns that nobody sees. It needs no access log: pgveil audit
ropa says what was done with the data.

With --diff it says what is not as it was in an older inventory, and ends with
status 1 when somebody sees more than then, or in another way.`,
		"pgveil inventory --config /etc/pgveil/pgveil.yaml --out inventory.html",
		"pgveil inventory --policy policy/ --schema schema.sql --format csv > inventory.csv",
		"pgveil inventory --config pgveil.yaml --diff reviewed.yaml --format markdown")
	v := inventoryCommand{now: time.Now(), stdout: stdout, stderr: stderr}
	v.source.flags(c)
	c.flags.StringVar(&v.config, "config", "", "the `file` that serve is started with: for the policy and the schema, as far as no flag gives them")
	c.flags.StringVar(&v.diff, "diff", "", "an older inventory, as YAML or JSON (`file`): say what is not as it was")
	v.output.flags(c, "markdown", "html", "json", "yaml", "csv")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if v.diff != "" {
		v.output.forms = []string{"markdown", "html", "json"}
	}
	if wrong := v.misuse(); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	more, err := v.run(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	if more > 0 {
		fmt.Fprintf(stderr, "%d things are seen by more, or otherwise, than in %s\n", more, v.diff)
		return 1
	}
	return 0
}

func (v *inventoryCommand) misuse() string {
	switch {
	case v.source.schema != "" && v.source.dsn != "":
		return "--schema and --dsn say the same: give one of them"
	case v.config == "" && v.source.missing() != "":
		return v.source.missing()
	}
	return v.output.misuse()
}

// run writes the inventory, or how it differs from an older one, and gives how
// many things are seen by more.
func (v *inventoryCommand) run(ctx context.Context) (more int, err error) {
	var old *report.Inventory
	if v.diff != "" {
		text, err := os.ReadFile(v.diff)
		if err != nil {
			return 0, err
		}
		if old, err = report.ParseInventory(text); err != nil {
			return 0, fmt.Errorf("%s: %w", v.diff, err)
		}
	}
	var cfg *config.Config
	if v.config != "" {
		if cfg, err = config.Load(v.config); err != nil {
			return 0, err
		}
	}
	set, err := policyFromConfig(ctx, &v.source, cfg)
	if err != nil {
		return 0, err
	}
	made := report.TakeInventory(set)
	made.Made = v.now
	if old != nil {
		d := made.Since(old)
		return len(d.More), v.output.write(reportName("inventory-diff", v.now), reportForms(d, d.Document()), v.stdout, v.stderr)
	}
	forms := reportForms(made, made.Document())
	forms["yaml"], forms["csv"] = made.YAML, made.CSV
	return 0, v.output.write(reportName("inventory", v.now), forms, v.stdout, v.stderr)
}
