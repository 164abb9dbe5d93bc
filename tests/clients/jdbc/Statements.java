import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Parameters, batches, several results at once, limits, cancelling, and what refusals say. */
final class Statements {
  /** Takes the engine longer than any test waits, and gives its first rows at once. */
  static final String ENDLESS = "select value from generate_series(1, 1000000000000)";

  /** Takes the engine a minute or more, and gives no row before. */
  static final String SILENT = "select max(value % 7) from generate_series(1, 20000000000)";

  private Statements() {}

  /** The watcher is another connection, and sees how queries of the first end. */
  static void run(Connection connection, Connection watcher) throws Exception {
    parameters(connection);
    results(connection);
    refusals(connection);
    cancelled(connection, watcher, connection.getMetaData().getDriverVersion());
  }

  private static void parameters(Connection connection) throws SQLException {
    String table = "lake.types.pyiceberg_all_types";
    try (PreparedStatement prepared = connection.prepareStatement(
        "select id from " + table + " where small = ? or d18 = ? or day = ? or word = ? order by id")) {
      ParameterMetaData about = prepared.getParameterMetaData();
      Say.tried("parameters", () -> {
        List<String> found = new ArrayList<>();
        for (int at = 1; at <= about.getParameterCount(); at++) {
          found.add(about.getParameterType(at) + ":" + about.getParameterTypeName(at));
        }
        return found;
      });
      Say.tried("parameters described", () -> Say.labels(prepared.getMetaData()));
      prepared.setInt(1, 2147483647);
      prepared.setBigDecimal(2, new BigDecimal("99999999999999.9999"));
      prepared.setDate(3, Date.valueOf("1969-12-31"));
      prepared.setString(4, "nothing like it");
      Say.tried("parameters first", () -> Say.rows(prepared.executeQuery()));
      prepared.setNull(1, Types.INTEGER);
      prepared.setNull(2, Types.DECIMAL);
      prepared.setNull(3, Types.DATE);
      prepared.setString(4, "");
      Say.tried("parameters second", () -> Say.rows(prepared.executeQuery()));
      prepared.clearParameters();
    }
    one(connection, "boolean", "id from " + table + " where ok = ? order by id", (p) -> p.setBoolean(1, true));
    one(connection, "long", "id from " + table + " where id = ?", (p) -> p.setLong(1, 3));
    one(connection, "int for a bigint", "id from " + table + " where id = ?", (p) -> p.setInt(1, 3));
    one(connection, "short", "id from " + table + " where small = ?", (p) -> p.setShort(1, (short) 0));
    one(connection, "string", "id from " + table + " where word = ?", (p) -> p.setString(1, "naïve ☃ 𝄞"));
    one(connection, "object", "id from " + table + " where word = ?", (p) -> p.setObject(1, "naïve ☃ 𝄞"));
    one(connection, "float", "id from " + table + " where single < ?", (p) -> p.setFloat(1, 0.5f));
    one(connection, "double", "id from " + table + " where double < ?", (p) -> p.setDouble(1, 0.5));
    one(connection, "decimal", "id from " + table + " where d38 = ?", (p) -> p.setBigDecimal(1, new BigDecimal("1234567890123456789012345678.0123456789")));
    one(connection, "bytes", "id from " + table + " where bytes = ?", (p) -> p.setBytes(1, new byte[] {0}));
    one(connection, "fixed", "id from " + table + " where four = ?", (p) -> p.setBytes(1, new byte[] {0, (byte) 255, 127, (byte) 128}));
    one(connection, "date", "id from " + table + " where day = ?", (p) -> p.setDate(1, Date.valueOf("2024-01-31")));
    one(connection, "time", "id from " + table + " where clock = ?", (p) -> p.setTime(1, Time.valueOf("00:00:00")));
    one(connection, "timestamp", "id from " + table + " where naive >= ?", (p) -> p.setTimestamp(1, Timestamp.valueOf("2024-01-31 13:05:06")));
    one(connection, "timestamp with zone", "id from " + table + " where zoned >= ? order by id", (p) -> p.setTimestamp(1, Timestamp.valueOf("2024-01-31 13:05:06")));
    one(connection, "limit", "id from " + table + " where id > ? order by id limit ?", (p) -> {
      p.setLong(1, 1);
      p.setLong(2, 2);
    });
    one(connection, "like", "id from " + table + " where word like ?", (p) -> p.setString(1, "na%"));
    one(connection, "in", "id from " + table + " where id in (?, ?) order by id", (p) -> {
      p.setLong(1, 1);
      p.setLong(2, 4);
    });
    one(connection, "between", "id from " + table + " where day between ? and ? order by id", (p) -> {
      p.setDate(1, Date.valueOf("2000-01-01"));
      p.setDate(2, Date.valueOf("2025-01-01"));
    });
    Say.tried("batch", () -> {
      try (PreparedStatement prepared = connection.prepareStatement("set landfast.placement = 'nearest'")) {
        prepared.addBatch();
        prepared.addBatch();
        return Arrays.toString(prepared.executeBatch());
      }
    });
    Say.tried("batch of statements", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.addBatch("set landfast.placement = 'origin'");
        statement.addBatch("set landfast.placement = 'nearest'");
        return Arrays.toString(statement.executeBatch());
      }
    });
    Say.tried("batch of a query", () -> {
      try (PreparedStatement prepared = connection.prepareStatement("select id from " + table + " where id = ?")) {
        prepared.setLong(1, 1);
        prepared.addBatch();
        return Arrays.toString(prepared.executeBatch());
      }
    });
  }

  interface Binds {
    void bind(PreparedStatement prepared) throws SQLException;
  }

  private static void one(Connection connection, String what, String query, Binds binds) {
    Say.tried("bound " + what, () -> {
      try (PreparedStatement prepared = connection.prepareStatement("select " + query)) {
        binds.bind(prepared);
        return Say.rows(prepared.executeQuery());
      }
    });
  }

  /** How many rows a query has, and a sum over all of their values, in whatever order they come. */
  private static void everyRow(Connection connection, String what, String query) {
    Say.tried(what, () -> {
      try (Statement statement = connection.createStatement(); ResultSet found = statement.executeQuery(query)) {
        int columns = found.getMetaData().getColumnCount();
        long rows = 0;
        long sum = 0;
        while (found.next()) {
          List<String> row = new ArrayList<>();
          for (int at = 1; at <= columns; at++) {
            row.add(found.getString(at));
          }
          sum += row.hashCode();
          rows++;
        }
        return rows + " " + sum;
      }
    });
  }

  private static void results(Connection connection) throws SQLException {
    try (Statement one = connection.createStatement();
        Statement other = connection.createStatement();
        ResultSet up = one.executeQuery("select value from generate_series(1, 100000) order by value");
        ResultSet down = other.executeQuery("select value from generate_series(1, 100000) order by value desc")) {
      Say.tried("two open", () -> {
        long sum = 0;
        long rows = 0;
        while (up.next() && down.next()) {
          sum += up.getLong(1) * (up.getLong(1) + down.getLong(1) == 100001 ? 1 : 1000);
          rows++;
        }
        return rows + ":" + sum + ":" + (up.next() || down.next());
      });
    }
    // The first comes in several endpoints, and the second, which has an order, in one.
    everyRow(connection, "several endpoints", "select * from lake.tpch.orders");
    everyRow(connection, "one endpoint", "select * from lake.tpch.orders order by o_orderkey");
    try (Statement statement = connection.createStatement()) {
      statement.setMaxRows(7);
      Say.tried("max rows", () -> Say.rows(statement.executeQuery("select value from generate_series(1, 100000) order by value")));
      statement.setMaxRows(0);
      statement.setFetchSize(10);
      Say.tried("fetch size", () -> Say.rows(statement.executeQuery("select value from generate_series(1, 100000)")).size());
      Say.tried("empty", () -> {
        ResultSet rows = connection.createStatement().executeQuery("select id, word from lake.types.pyiceberg_all_types where false");
        return Say.labels(rows) + " " + Say.rows(rows);
      });
      Say.tried("execute a query", () -> statement.execute("select 1") + " " + Say.rows(statement.getResultSet()) + " " + statement.getMoreResults() + " " + statement.getUpdateCount());
      Say.tried("execute a command", () -> statement.execute("set landfast.placement = 'nearest'") + " " + statement.getUpdateCount());
      Say.tried("update by a query", () -> statement.executeUpdate("select 1"));
      Say.tried("labels", () -> Say.labels(statement.executeQuery("select 1 as \"One\", 2 as TWO, 3, r.r_name, n.n_name from lake.tpch.region r, lake.tpch.nation n limit 1")));
      Say.tried("again", () -> {
        ResultSet first = statement.executeQuery("select 1");
        ResultSet second = statement.executeQuery("select 2");
        return first.isClosed() + " " + Say.rows(second);
      });
      Say.tried("by name", () -> {
        ResultSet rows = statement.executeQuery("select 1 as \"One\", 'x' as two");
        rows.next();
        return rows.findColumn("two") + " " + rows.getString("TWO") + " " + rows.getInt("one") + " " + rows.isBeforeFirst() + rows.isFirst() + rows.isAfterLast() + " " + rows.getRow();
      });
    }
    Say.tried("valid", () -> connection.isValid(5));
    Say.tried("catalog", () -> connection.getCatalog());
    Say.tried("schema", () -> connection.getSchema());
    Say.tried("auto commit", () -> connection.getAutoCommit());
    Say.tried("read only connection", () -> connection.isReadOnly());
    Say.tried("isolation", () -> connection.getTransactionIsolation());
    Say.tried("commit", () -> {
      connection.commit();
      return "done";
    });
    Say.tried("rollback", () -> {
      connection.rollback();
      return "done";
    });
  }

  private static void refusals(Connection connection) throws SQLException {
    String[] wrong = {
      "selec 1", "select 1 +", "select * from lake.types.spark_typos", "select nme from lake.types.spark_types",
      "select 1/0", "select cast('x' as int)", "insert into lake.types.spark_types values (1)", "", "select 1; select 2",
    };
    for (int at = 0; at < wrong.length; at++) {
      String sql = wrong[at];
      Say.tried("wrong " + at, () -> {
        try (Statement statement = connection.createStatement()) {
          return Say.rows(statement.executeQuery(sql));
        }
      });
    }
    Say.tried("right after wrong", () -> {
      try (Statement statement = connection.createStatement()) {
        return Say.rows(statement.executeQuery("select 42"));
      }
    });
  }

  private static void cancelled(Connection connection, Connection watcher, String mark) throws Exception {
    try (Statement statement = connection.createStatement()) {
      ResultSet rows = statement.executeQuery(ENDLESS + " -- closed " + mark);
      Say.tried("closed in the middle", () -> {
        rows.next();
        rows.close();
        return "closed";
      });
    }
    try (Statement statement = connection.createStatement()) {
      ResultSet rows = statement.executeQuery(ENDLESS + " -- cancelled " + mark);
      Say.tried("cancelled in the middle", () -> {
        rows.next();
        statement.cancel();
        for (int more = 0; more < 100000000 && rows.next(); more++) {}
        return "ended";
      });
    }
    Say.tried("timed out", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.setQueryTimeout(1);
        return Say.rows(statement.executeQuery(SILENT + " -- timed " + mark));
      }
    });
    try (Statement statement = connection.createStatement()) {
      Thread other = new Thread(() -> Say.tried("the canceller", () -> {
        waitUntilRunning(watcher, "-- silent " + mark);
        statement.cancel();
        return "cancelled";
      }));
      other.start();
      Say.tried("cancelled while waiting", () -> Say.rows(statement.executeQuery(SILENT + " -- silent " + mark)));
      other.join();
    }
    for (String which : new String[] {"closed", "cancelled", "timed", "silent"}) {
      Say.tried("state of " + which, () -> stateWhenOver(watcher, "-- " + which + " " + mark));
    }
  }

  private static String state(Connection watcher, String ending) throws SQLException {
    try (Statement statement = watcher.createStatement();
        ResultSet rows = statement.executeQuery("select state from landfast.system.queries where statement like '%" + ending + "'")) {
      return rows.next() ? rows.getString(1) : "unknown";
    }
  }

  private static void waitUntilRunning(Connection watcher, String ending) throws Exception {
    for (int tries = 0; tries < 600 && !state(watcher, ending).equals("running"); tries++) {
      Thread.sleep(50);
    }
  }

  /** The state of a query that no longer runs; what it still is after half a minute else. */
  private static String stateWhenOver(Connection watcher, String ending) throws Exception {
    String state = state(watcher, ending);
    for (int tries = 0; tries < 600 && !state.equals("cancelled") && !state.equals("failed") && !state.equals("finished"); tries++) {
      Thread.sleep(50);
      state = state(watcher, ending);
    }
    return state;
  }
}
