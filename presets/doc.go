// Package presets knows the schemas of some CRM applications: which of their
// tables and columns hold what of whom, and so where a policy for them begins.
//
// In go the name of an application and the catalog of a database; out come the
// files of a policy that compiles against it:
//
//	p, err := presets.Open("odoo")
//	fitted, err := p.Fit(cat, "public")
//	fitted.Files        // to be written, read, and changed
//	fitted.Dropped      // what this version of the application does not have
//	fitted.Unclassified // what it has, and the preset does not know
//
// A preset is data: a folder with preset.yaml, which says of which versions it
// is and by which tables the application is known, and the policy's files.
// Beside them schema.sql and rows.sql hold the application's main tables and
// some rows of made-up people, for tests alone.
//
// Applications differ by version, by what is installed and by what their users
// add. What a database lacks is left out of the policy, and told; what it has
// beyond the preset stays unclassified, and so refused, until somebody has
// looked at it. Nothing is guessed: see package datamap for that.
package presets
