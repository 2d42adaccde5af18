package dsar
import ("testing";"fmt")
func TestTmp(t *testing.T) {
	conn, g := crm(t, "crm")
	fmt.Println(g.exportSQL(false))
	s, err := export(t, conn, g, Key{Values: []string{"1"}}, ExportOptions{})
	fmt.Println(s, err)
	r, err := DryRun(t.Context(), conn, g, Key{Values: []string{"1"}})
	for _, s := range r.Steps { fmt.Println(s.Table, s.Rows, s.Action, s.Path, "|", s.Reason) }
	fmt.Println(err)
}
