// Command bench measures what pgveil costs, beside what others cost that stand
// in the same place: PgBouncer, which speaks the protocol, and HAProxy, which
// only carries bytes.
//
//	go run ./bench --quick              five minutes, for a first look
//	go run ./bench --install            the whole of it
//	go run ./bench --only 'small/.*/8'  the workloads whose names match
//
// It starts a PostgreSQL of its own, loads it, and runs every workload through
// every contender in turn: A B C A B C, so that what else the machine does hits
// all of them alike. What counts are ratios within a round, and their medians;
// an absolute rate means nothing on another machine, nor on this one tomorrow.
//
// Every client logs in with SCRAM over the loopback. The restricted contenders
// log in as a caller with masks and a row filter, and send the same statements
// as the others. So their figures hold what masks cost the server as well. In
// the workloads masked and rows the others send what pgveil makes of the
// statement: there the server does the same work for all.
//
// A workload that fails in any way, be it one aborted client, fails the run: a
// rate that was reached by failing is no rate.
//
// docs/benchmarks.md tells the method for readers, and holds the last figures.
package main
