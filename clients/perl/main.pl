# DBD::Pg: placeholders, server-side prepares, COPY, asynchronous queries.
use v5.36;
use DBI;
use DBD::Pg qw(:pg_types :async);
binmode STDOUT, ':utf8';

sub connected ($options = '') {
    my $db = DBI->connect("dbi:Pg:$options", '', '', {RaiseError => 1, PrintError => 0, AutoCommit => 1});
    $db->{pg_enable_utf8} = 1;
    return $db;
}

sub attempt ($db, $what) {
    eval { $what->(); 1 } or say join ' ', 'error', $db->state, (split /\n/, $db->errstr // $@)[0];
}

sub text ($v) { ref $v ? '{' . join(',', map { text($_) } @$v) . '}' : $v // 'NULL' }

sub show ($db, $sql, @args) {
    attempt($db, sub {
        my $s = $db->prepare($sql);
        my $n = $s->execute(@args);
        while ($s->{NUM_OF_FIELDS} and my $row = $s->fetchrow_arrayref) { say join '|', map { text($_) } @$row }
        say "$n rows";
    });
}

sub transaction ($db, $failing) {
    say '# a failure in a transaction';
    $db->begin_work;
    show($db, $failing);
    show($db, "SELECT 'not any more'");
    say $db->ping;
    $db->rollback;
    show($db, "SELECT 'again'");
    $db->begin_work;
    $db->pg_savepoint('s');
    show($db, $failing);
    $db->pg_rollback_to('s');
    show($db, "SELECT 'again'");
    $db->commit;
}

# Prepared by the server at once, at the second execution, or never.
sub prepared ($db, $sql, @args) {
    for my $now (0, 1) {
        say "# prepared now: $now";
        my $s = eval { $db->prepare($sql, {pg_prepare_now => $now, pg_switch_prepared => 2}) } or say 'error ', $db->state;
        for ($s ? 1 .. 4 : ()) {
            attempt($db, sub { $s->execute(@args); say join '|', map { text($_) } @$_ for @{$s->fetchall_arrayref} });
        }
    }
    local $db->{pg_server_prepare} = 0;
    show($db, $sql, @args);
}

sub copy ($db, $out, $into, $line) {
    say '# copying';
    for my $sql (@$out) {
        attempt($db, sub {
            $db->do($sql);
            my $row = '';
            print $row while $db->pg_getcopydata($row) >= 0;
        });
    }
    for my $sql (@$into) {
        attempt($db, sub { $db->do($sql); $db->pg_putcopydata($line); say $db->pg_putcopyend });
    }
    show($db, "SELECT 'again'");
}

sub metadata ($db, $schema, $table) {
    say '# metadata';
    for my $what (
        [table_info => undef, $schema, '%', 'TABLE'], [column_info => undef, $schema, $table, '%'], [primary_key_info => undef, $schema, $table],
        [foreign_key_info => undef, undef, undef, undef, $schema, $table], [statistics_info => undef, $schema, $table, 0, 1])
    {
        my ($method, @args) = @$what;
        attempt($db, sub { say join '|', map { text($_) } @$_ for @{$db->$method(@args)->fetchall_arrayref} });
    }
}

sub alice ($db) {
    show($db, 'SELECT id, first_name, last_name, email, phone, card, birth_date, last_ip, credit_limit, notes FROM customers ORDER BY id');
    show($db, 'SELECT id, card FROM customers WHERE card = ?', '4111111110201111');
    show($db, 'SELECT id, email FROM customers WHERE id = ANY (?)', [3, 4]);
    show($db, 'UPDATE customers SET email = ?, country = ? WHERE id = ?', 'a***@example.de', 'DE', 1);
    show($db, 'DELETE FROM customers');
    prepared($db, 'SELECT id, email FROM customers WHERE id < ? ORDER BY id', 3);
    prepared($db, 'SELECT id, ssn FROM customers WHERE id < ?', 3);
    transaction($db, 'SELECT ssn FROM customers');
    copy($db, ['COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT', 'COPY customers (id, ssn) TO STDOUT'],
        ['COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN', 'COPY orders FROM STDIN'], "1\tEU\tby perl\ttext\t2026-11-22\n");
    metadata($db, 'public', 'customers');
}

sub crm_app ($db) {
    show($db, 'SELECT id, email FROM crm.customers WHERE id = 1');
    $db = connected("options='-c pgveil.purpose=support'");
    my $row = $db->selectrow_hashref('SELECT id, first_name, last_name, email, phone, city, interests, notes FROM crm.customers WHERE id = 1');
    say "$_ ", text($row->{$_}) for sort keys %$row;
    push @{$row->{interests}}, 'chess';
    my $id = delete $row->{id};
    my @columns = sort keys %$row;
    show($db, 'UPDATE crm.customers SET ' . join(', ', map { "$_ = ?" } @columns) . ' WHERE id = ?', @$row{@columns}, $id);
    show($db, 'SELECT id, last_name, email, interests FROM crm.customers WHERE id = 1');
    $db->disconnect;
}

sub dora ($db) {
    show($db, 'SELECT * FROM customers ORDER BY id');
    prepared($db, 'SELECT * FROM orders WHERE id < ? ORDER BY id', 3);
    transaction($db, 'SELECT 1 / 0');
    copy($db, ['COPY countries TO STDOUT'], ['COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN', 'COPY orders FROM STDIN'], "1\tEU\tby perl\ttext\t2026-11-22\n");
    metadata($db, 'public', 'customers');
    say '# many, large, notified, asynchronous, cancelled';
    my $s = $db->prepare('INSERT INTO countries VALUES (?, ?, ?)');
    say text([$s->execute_array({ArrayTupleStatus => \my @status}, ['X1', 'X2'], 'made', 'EU')]);
    attempt($db, sub { $s->execute_array({ArrayTupleStatus => \my @again}, ['X3', 'X2'], 'made', 'EU') });
    my $bytes = $db->prepare('SELECT length(?::bytea)');
    $bytes->bind_param(1, "\0\xff\\" x 10000, {pg_type => PG_BYTEA});
    $bytes->execute;
    say $bytes->fetchrow_array;
    $db->begin_work;
    my $o = $db->pg_lo_creat($db->{pg_INV_WRITE});
    my $fd = $db->pg_lo_open($o, $db->{pg_INV_WRITE});
    say $db->pg_lo_write($fd, 'x' x 100000, 100000), ' ', $db->pg_lo_unlink($o);
    $db->commit;
    $db->do('LISTEN birds');
    $db->do("NOTIFY birds, 'tit'");
    my $n = $db->pg_notifies;
    say "$n->[0] $n->[2]";
    $db->do('SELECT 42', {pg_async => PG_ASYNC});
    say $db->pg_result;
    $db->do("SET statement_timeout = 100");
    show($db, 'SELECT pg_sleep(30)');
}

my %work = (alice => \&alice, crm_app => \&crm_app, dora => \&dora);
my $db = connected();
$work{$ARGV[0]}->($db);
$db->disconnect;
