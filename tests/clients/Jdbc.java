import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What a BI tool does with the stock JDBC driver; prints one line a finding, for the tests to read. */
public final class Jdbc {
  public static void main(String[] arguments) throws Exception {
    String url = arguments[0];
    Properties properties = new Properties();
    properties.put("user", arguments[1]);
    properties.put("password", arguments[2]);
    properties.put("tlsRootCerts", arguments[3]);
    String metadata = arguments[4];
    String registered = arguments[5];

    try (Connection connection = DriverManager.getConnection(url, properties)) {
      DatabaseMetaData about = connection.getMetaData();
      say("product", about.getDatabaseProductName());
      try (ResultSet rows = about.getCatalogs()) {
        say("catalogs", column(rows, "TABLE_CAT"));
      }
      try (ResultSet rows = about.getSchemas("lake", null)) {
        say("schemas", column(rows, "TABLE_SCHEM"));
      }
      try (ResultSet rows = about.getTables("lake", "tpch", "%s%", null)) {
        say("tables", column(rows, "TABLE_NAME"));
      }
      try (ResultSet rows = about.getColumns("lake", "tpch", "orders", "o_%")) {
        List<String> columns = new ArrayList<>();
        while (rows.next()) {
          columns.add(rows.getString("COLUMN_NAME") + ":" + rows.getInt("DATA_TYPE"));
        }
        say("columns", columns);
      }

      String sql =
          "select o_orderkey, o_totalprice, o_orderdate, o_clerk from lake.tpch.orders"
              + " where o_orderkey <= ? and o_orderdate >= ? order by o_orderkey";
      try (PreparedStatement prepared = connection.prepareStatement(sql)) {
        for (long last : new long[] {7, 3}) {
          prepared.setLong(1, last);
          prepared.setDate(2, java.sql.Date.valueOf("1994-01-01"));
          try (ResultSet rows = prepared.executeQuery()) {
            List<String> found = new ArrayList<>();
            while (rows.next()) {
              found.add(rows.getLong(1) + " " + rows.getBigDecimal(2) + " " + rows.getDate(3) + " " + rows.getString(4));
            }
            say("prepared " + last, found);
          }
        }
      }

      try (Statement statement = connection.createStatement()) {
        say("before", only(statement, "show landfast.placement"));
        statement.execute("set landfast.placement = 'origin'");
        say("after", only(statement, "show landfast.placement"));
        statement.executeUpdate("set landfast.placement = 'nearest'");
        say("again", only(statement, "show landfast.placement"));
        statement.execute("call landfast.register_table('" + registered + "', '" + metadata + "')");
        say("registered", only(statement, "select count(*) from " + registered));
        say("dropped", statement.executeUpdate("drop table " + registered));
        say("gone", refused(statement, "select count(*) from " + registered));
        say("unknown", refused(statement, "select * from lake.tpch.lineitems"));
      }
    }

    String settings = url + "&landfast.freshness=strong&landfast.placement=origin&landfast.catalog=plant&schema=tpch";
    try (Connection connection = DriverManager.getConnection(settings, properties);
        Statement statement = connection.createStatement()) {
      say("url freshness", only(statement, "show landfast.freshness"));
      say("url placement", only(statement, "show landfast.placement"));
      say("url schema", only(statement, "show landfast.schema"));
      say("url set", notRun(statement, "set landfast.placement = 'nearest'"));
    }
    try (Connection connection = DriverManager.getConnection(url + "&landfast.freshnes=strong", properties);
        Statement statement = connection.createStatement()) {
      say("url typo", refused(statement, "select 1"));
    } catch (SQLException error) {
      say("url typo", error.getMessage());
    }

    properties.put("password", "wrong");
    try (Connection connection = DriverManager.getConnection(url, properties)) {
      say("wrong password", "let in");
    } catch (SQLException error) {
      say("wrong password", error.getMessage());
    }
  }

  private static List<String> column(ResultSet rows, String name) throws SQLException {
    List<String> found = new ArrayList<>();
    while (rows.next()) {
      found.add(rows.getString(name));
    }
    return found;
  }

  /** The first row's first column; of SHOW, which gives a name, a value and what it means, the value. */
  private static String only(Statement statement, String sql) throws SQLException {
    try (ResultSet rows = statement.executeQuery(sql)) {
      boolean shown = sql.startsWith("show");
      return rows.next() ? (shown ? rows.getString("value") : rows.getString(1)) : "nothing";
    }
  }

  private static String refused(Statement statement, String sql) {
    try {
      return "answered " + only(statement, sql);
    } catch (SQLException error) {
      return error.getMessage();
    }
  }

  private static String notRun(Statement statement, String sql) {
    try {
      statement.execute(sql);
      return "ran";
    } catch (SQLException error) {
      return error.getMessage();
    }
  }

  private static void say(String what, Object found) {
    System.out.println(what + ": " + String.valueOf(found).replace('\n', ' '));
  }
}
