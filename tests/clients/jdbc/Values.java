import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Calendar;
import java.util.TimeZone;

/** Every column of some tables, by every getter that a program may call on it. */
final class Values {
  private static final TimeZone UTC = TimeZone.getTimeZone("UTC");

  private Values() {}

  static void run(Connection connection, String[] queries) throws SQLException {
    for (int at = 0; at < queries.length; at++) {
      try (Statement statement = connection.createStatement();
          ResultSet rows = statement.executeQuery(queries[at])) {
        described("query " + at, rows.getMetaData());
        for (int row = 0; rows.next(); row++) {
          for (int column = 1; column <= rows.getMetaData().getColumnCount(); column++) {
            got("query " + at + " " + row + " " + rows.getMetaData().getColumnLabel(column), rows, column);
          }
        }
      }
    }
  }

  private static void described(String what, ResultSetMetaData about) throws SQLException {
    for (int column = 1; column <= about.getColumnCount(); column++) {
      int at = column;
      String name = what + " column " + about.getColumnLabel(column) + " ";
      Say.tried(name + "type", () -> about.getColumnType(at));
      Say.tried(name + "type name", () -> about.getColumnTypeName(at));
      Say.tried(name + "class", () -> about.getColumnClassName(at));
      Say.tried(name + "size", () -> about.getPrecision(at) + "," + about.getScale(at));
      Say.tried(name + "nullable", () -> about.isNullable(at));
      Say.tried(name + "name", () -> about.getColumnName(at));
      Say.tried(name + "signed", () -> about.isSigned(at));
      Say.tried(name + "display", () -> about.getColumnDisplaySize(at));
    }
  }

  private static void got(String what, ResultSet rows, int column) {
    what += " ";
    Say.tried(what + "object", () -> rows.getObject(column));
    Say.tried(what + "was null", () -> rows.wasNull());
    Say.tried(what + "string", () -> rows.getString(column));
    Say.tried(what + "boolean", () -> rows.getBoolean(column));
    Say.tried(what + "byte", () -> rows.getByte(column));
    Say.tried(what + "short", () -> rows.getShort(column));
    Say.tried(what + "int", () -> rows.getInt(column));
    Say.tried(what + "long", () -> rows.getLong(column));
    Say.tried(what + "float", () -> rows.getFloat(column));
    Say.tried(what + "double", () -> rows.getDouble(column));
    Say.tried(what + "decimal", () -> rows.getBigDecimal(column));
    Say.tried(what + "bytes", () -> rows.getBytes(column));
    Say.tried(what + "date", () -> rows.getDate(column, Calendar.getInstance(UTC)));
    Say.tried(what + "time", () -> rows.getTime(column, Calendar.getInstance(UTC)));
    Say.tried(what + "timestamp", () -> rows.getTimestamp(column, Calendar.getInstance(UTC)));
    Say.tried(what + "array", () -> rows.getArray(column));
    Say.tried(what + "class", () -> {
      Object found = rows.getObject(column);
      return found == null ? null : found.getClass().getSimpleName();
    });
    Say.tried(what + "as string", () -> rows.getObject(column, String.class));
    Say.tried(what + "as decimal", () -> rows.getObject(column, BigDecimal.class));
    Say.tried(what + "as local date", () -> rows.getObject(column, java.time.LocalDate.class));
    Say.tried(what + "as local time", () -> rows.getObject(column, java.time.LocalTime.class));
    Say.tried(what + "as local date time", () -> rows.getObject(column, java.time.LocalDateTime.class));
    Say.tried(what + "as instant", () -> rows.getObject(column, java.time.Instant.class));
    Say.tried(what + "as offset date time", () -> rows.getObject(column, java.time.OffsetDateTime.class));
  }
}
