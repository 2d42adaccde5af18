package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// dsarVerbs are what "pgveil dsar" does, each in a file of its own.
func dsarVerbs() []verb {
	return append(officeVerbs(), []verb{
		{"list", "list requests", runDsarList},
		{"show", "show a request, or its certificate", runDsarShow},
		{"holds", "list what is held", runDsarHolds},
		{"batch", "open many requests from a file", runDsarBatch},
		{"report", "how many requests there were, and how long they took", runDsarReport},
		{"explain", "draw which tables hold rows of a kind of data subject", runDsarExplain},
		{"suggest", "find references that nobody declared", runDsarSuggest},
		{"export", "write all that is held on a data subject into a package", runDsarExport},
		{"certificate", "check certificates of erasure, and show them", runDsarCertificate},
		{"ledger", "check the ledger of erasures, and the database by it", runDsarLedger},
		{"replay", "erase again whom a restore brought back", runDsarReplay},
	}...)
}

// runDsar runs "pgveil dsar".
func runDsar(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, dsarUsage())
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, dsarUsage())
		return 0
	}
	for _, v := range dsarVerbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "pgveil dsar: unknown verb %q\n%s", args[0], dsarUsage())
	return 2
}

func dsarUsage() string {
	var b strings.Builder
	b.WriteString("Usage: pgveil dsar <verb> [flags]\n\nAnswers data subjects: what is held on them, and what becomes of it.\n\n")
	for _, v := range dsarVerbs() {
		fmt.Fprintf(&b, "  %-11s %s\n", v.name, v.about)
	}
	b.WriteString("\n\"pgveil dsar <verb> --help\" lists the flags of a verb.\n")
	return b.String()
}
