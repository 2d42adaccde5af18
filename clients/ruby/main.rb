# Ruby's pg: parameters, prepared statements, pipelines, COPY, large objects.
require 'pg'

def attempt
  yield
rescue PG::Error => e
  puts "error #{e.result&.error_field(PG::Result::PG_DIAG_SQLSTATE)} #{e.message.lines.first&.chomp} #{e.class}"
end

def print(result)
  result.each_row { |row| puts row.map { |v| v.nil? ? 'NULL' : v }.join('|') }
  puts result.cmd_status
end

def show(c, sql, *args) = attempt { print(args.empty? ? c.exec(sql) : c.exec_params(sql, args)) }

def transaction(c, failing)
  puts '# a failure in a transaction'
  attempt { c.transaction { c.exec(failing) } }
  show(c, "SELECT 'again'")
  c.exec('BEGIN')
  show(c, failing)
  show(c, "SELECT 'not any more'")
  puts c.transaction_status == PG::PQTRANS_INERROR
  c.exec('ROLLBACK')
end

def prepared(c, sql, *args)
  puts '# prepared'
  attempt do
    c.prepare('some statement', sql)
    print(c.describe_prepared('some statement'))
    3.times { print(c.exec_prepared('some statement', args)) }
    puts c.exec_prepared('some statement', args, 1).values.inspect
    c.exec('DEALLOCATE "some statement"')
  end
end

def pipeline(c, failing)
  puts '# a pipeline'
  c.enter_pipeline_mode
  ['SELECT 1', failing, "SELECT 'skipped'"].each { |sql| c.send_query_params(sql, []) }
  c.pipeline_sync
  c.send_query_params("SELECT 'again'", [])
  c.pipeline_sync
  syncs = 0
  while syncs < 2
    result = c.get_result or next
    syncs += 1 if result.result_status == PG::PGRES_PIPELINE_SYNC
    attempt { puts "#{result.res_status(result.result_status)} #{result.check && result.values}" }
  end
  c.exit_pipeline_mode
end

def copy(c, out, into, line)
  puts '# copying'
  out.each do |sql|
    attempt { c.copy_data(sql) { while (row = c.get_copy_data) do puts row end } }
  end
  into.each do |sql|
    attempt { print(c.copy_data(sql) { c.put_copy_data(line) }) }
  end
  show(c, "SELECT 'again'")
end

def single_rows(c, sql)
  puts '# row by row'
  c.send_query(sql)
  c.set_single_row_mode
  attempt { c.get_result.stream_each { |row| puts row.values.join('|') } }
  while c.get_result do end
end

def alice(c)
  show(c, 'SELECT id, first_name, last_name, email, phone, card, birth_date, last_ip, credit_limit, notes FROM customers ORDER BY id')
  show(c, 'SELECT id, card FROM customers WHERE card = $1', '4111111110201111')
  show(c, 'UPDATE customers SET email = $2, country = $3 WHERE id = $1', 1, 'a***@example.de', 'DE')
  show(c, 'DELETE FROM customers WHERE id = $1', 1)
  prepared(c, 'SELECT id, email FROM customers WHERE id < $1 ORDER BY id', 3)
  prepared(c, 'SELECT id, ssn FROM customers WHERE id < $1', 3)
  transaction(c, 'SELECT ssn FROM customers')
  pipeline(c, 'SELECT ssn FROM customers')
  copy(c, ['COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT', 'COPY customers (id, ssn) TO STDOUT'],
       ['COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN', 'COPY orders FROM STDIN'], "1\tEU\tby ruby\ttext\t2026-11-22\n")
  single_rows(c, 'SELECT id, email FROM customers ORDER BY id')
  single_rows(c, 'SELECT ssn FROM customers')
end

def crm_app(c)
  show(c, 'SELECT id, email FROM crm.customers WHERE id = 1')
  c = PG.connect(options: '-c pgveil.purpose=support')
  columns = %w[first_name last_name email phone city interests notes]
  row = c.exec("SELECT #{columns.join(', ')} FROM crm.customers WHERE id = 1")[0]
  puts row
  row['city'] = 'Altona'
  sets = columns.each_with_index.map { |name, i| "#{name} = $#{i + 2}" }.join(', ')
  show(c, "UPDATE crm.customers SET #{sets} WHERE id = $1", 1, *row.values_at(*columns))
  show(c, 'SELECT id, last_name, email, city FROM crm.customers WHERE id = 1')
  c.close
end

def dora(c)
  show(c, 'SELECT * FROM customers ORDER BY id')
  prepared(c, 'SELECT id, status FROM orders WHERE id < $1', 3)
  transaction(c, 'SELECT 1 / 0')
  pipeline(c, 'SELECT 1 / 0')
  copy(c, ['COPY countries TO STDOUT'], ['COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN', 'COPY orders FROM STDIN'], "1\tEU\tby ruby\ttext\t2026-11-22\n")
  single_rows(c, 'SELECT id, total FROM orders ORDER BY id')
  puts '# large objects, notifications, cancelled'
  c.transaction do
    id = c.lo_creat
    fd = c.lo_open(id, PG::INV_WRITE)
    puts c.lo_write(fd, 'x' * 100_000)
    c.lo_close(fd)
    c.lo_unlink(id)
  end
  c.exec("LISTEN birds; NOTIFY birds, 'tit'")
  c.wait_for_notify(5) { |channel, _, payload| puts "#{channel} #{payload}" }
  c.send_query('SELECT pg_sleep(30)')
  sleep 0.2
  puts c.cancel.inspect
  attempt { c.get_last_result }
  c.type_map_for_results = PG::BasicTypeMapForResults.new(c)
  puts c.exec('SELECT id, placed_at, total FROM orders WHERE id = 1').values.inspect
  puts c.ssl_in_use?, c.exec('SELECT 1 AS a, 2 AS b').fields.inspect, c.transaction_status
end

c = PG.connect
send(ARGV[0], c)
c.close
