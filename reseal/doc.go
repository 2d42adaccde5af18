// Package reseal seals values that are in a database already, and seals them again
// under another key, while it is in use.
//
//	columns, err := reseal.Columns(set, cat, "crm.customers.ssn")
//	j := &reseal.Job{Conn: conn, Ring: ring}
//	result, err := j.Migrate(ctx, columns[0])
//
// It goes through the pages of each table that holds rows of the column, and changes
// what lies in some of them in one transaction: values are read, sealed here, written
// where the row is still as it was read, read back, opened and compared. What has been
// done is told by the values themselves, so it can be ended at any time and begun
// again. Rows that somebody has locked are left for the next time through; that goes
// on until none is left.
//
// Values that cannot be opened or sealed are counted and never overwritten. What may
// not be changed at all is known before the first value is: see Check.
package reseal
