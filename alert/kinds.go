package alert

// Kind is what events of one name are.
type Kind struct {
	Name     string
	Severity Severity
	Meaning  string // what has happened, or what it takes
}

// Kinds gives every kind of event there is, in the order of their names.
func Kinds() []Kind {
	return []Kind{
		{"alert_sink_failing", Warning, "alerts cannot be delivered to one of the sinks; the log says why"},
		{"alerts_lost", Warning, "a sink takes alerts again, and has missed some; the log has them"},
		{"anchor_behind", Warning, "checkpoints of the access log have not reached an anchor for a long time"},
		{"audit_disk_full", Critical, "the access log's disk is full: statements and logins are refused until there is room"},
		{"audit_disk_low", Warning, "the access log's disk has little room left"},
		{"audit_failed", Critical, "the access log cannot be written: statements and logins are refused until a restart"},
		{"audit_table_behind", Warning, "the access log's table has been behind the log for a long time"},
		{"audit_unsigned", Warning, "checkpoints of the access log cannot be signed"},
		{"catalog_unseen", Warning, "it cannot be seen whether the schema has changed; if it has, statements are refused until it can"},
		{"crl_out_of_date", Warning, "a list of revoked certificates is out of date: its authority's certificates are refused"},
		{"database_moved", Warning, "the database is another copy than before: it was restored, or a standby of it was promoted"},
		{"database_restored", Critical, "persons who were erased are in the database again: it was restored"},
		{"elevation", Warning, "somebody has asked for a purpose that is not theirs every day"},
		{"erasures_unknown", Critical, "the ledger of erasures has lost entries: the database knows of more"},
		{"honey_touched", Critical, "somebody has read or changed a planted record, which nobody has a reason to"},
		{"limit_near", Notice, "somebody has used most of a limit"},
		{"limit_reached", Warning, "somebody has reached a limit: what the policy says is done"},
		{"limits_lost", Critical, "the server of counters has forgotten what was counted; what each process knew was written back"},
		{"limits_reachable", Notice, "the server of counters answers again"},
		{"limits_uncounted", Critical, "what callers get cannot be counted, as a file cannot be written, say: what limits are for is refused"},
		{"limits_unreachable", Critical, "the server of counters does not answer: what limits count is refused, or each process counts for itself"},
		{"login_after_failures", Warning, "a login got in after many failures: its password may have been guessed"},
		{"login_lockout", Warning, "logins of one user, address or network have failed too often"},
		{"personal_data_read", Warning, "there is personal data in what a statement returns, where the policy expects none"},
		{"personal_data_written", Warning, "personal data is written into columns that are classed open"},
		{"quarantine", Warning, "somebody is in quarantine: their sessions have ended, and they are let in no more"},
		{"quarantine_ended", Notice, "somebody is let in again: their quarantine was released, or is over"},
		{"reaping_failed", Warning, "keys of sealed values that are no more were not destroyed as `sealing.data_keys.reap` says: the store or the database does not let it, or more than half of the keys would go"},
		{"reload_failed", Warning, "a new policy, catalog or file of keys cannot be put in force; the one before stays"},
		{"request_due", Warning, "the time of a data subject request runs out: half, four fifths or nearly all of it is over"},
		{"request_failed", Warning, "a data subject request could not be done; PRIVACY SHOW REQUEST says why"},
		{"request_overdue", Critical, "a data subject request is late"},
		{"request_review", Warning, "something of an erased data subject is left where only people can decide about it; PRIVACY SHOW REQUEST says where"},
		{"retention_failing", Warning, "records of the access log, or keys of sealed contents, that are too old cannot be removed"},
		{"retention_run_failed", Warning, "a scheduled run did not remove all rows whose time is over: a rule is refused, or the database or the access log does not let it"},
		{"sealed_value_damaged", Critical, "a value of a sealed column cannot be opened"},
		{"second_factor_lockout", Warning, "somebody who has a user's password has given wrong codes time after time"},
		{"second_factor_recovery", Warning, "a recovery code was used up: was it its owner?"},
		{"second_factor_unreadable", Warning, "a user's second factor was made with another key, or is damaged"},
		{"session_killed", Notice, "somebody who may contain users has ended a session"},
		{"ship_behind", Warning, "a sink of the access log has not taken records for a long time"},
		{"ship_refused", Warning, "a sink of the access log refuses records for good; they are in the dead-letter file"},
		{"ship_stopped", Critical, "the access log is not shipped to a sink any more until a restart"},
		{"side_door", Warning, "a connection to the database goes around pgveil: what it reads nobody decides on or records"},
		{"side_door_unwatched", Notice, "the server counted more sessions than pgveil made or saw: some came and went between two looks"},
		{"side_doors_unseen", Warning, "pgveil's login may not see where other connections come from: GRANT pg_read_all_stats to it"},
		{"state_away", Critical, "what pgveil remembers in the database has been out of reach for a long time: elevations end, second factors fail"},
		{"test", Notice, "somebody has run pgveil alert test"},
		{"watch_applications", Warning, "somebody comes by many applications at a time"},
		{"watch_clients", Warning, "somebody comes from several networks at a time"},
		{"watch_enumeration", Critical, "somebody reads data subjects one by one, by keys that follow on each other"},
		{"watch_errors", Warning, "statements of somebody's fail in series, with errors that tell of values and names"},
		{"watch_guesses", Warning, "somebody asks for hidden values in series, and mostly misses"},
		{"watch_hours", Warning, "somebody works at an hour at which they never do"},
		{"watch_injections", Critical, "a statement looks as if somebody's input had changed it"},
		{"watch_new_networks", Warning, "a login that acts for others comes from where it never came"},
		{"watch_new_tables", Notice, "somebody uses a table that they have never used"},
		{"watch_refusals", Warning, "statements of somebody's are refused in series"},
		{"watch_volume", Critical, "somebody reads far more data subjects than they do otherwise"},
	}
}

// Meaning gives what events of a name mean; "" where there are none.
func Meaning(name string) string {
	for _, k := range Kinds() {
		if k.Name == name {
			return k.Meaning
		}
	}
	return ""
}
