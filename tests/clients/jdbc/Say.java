import java.lang.reflect.Array;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** One finding a line: a name, a tab, a value. What a call threw is a finding as well. */
final class Say {
  private static final char[] HEX = "0123456789abcdef".toCharArray();

  private static final java.io.PrintStream OUT = new java.io.PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, java.nio.charset.StandardCharsets.UTF_8);

  private Say() {}

  interface Call {
    Object call() throws Exception;
  }

  static void say(String what, Object found) {
    StringBuilder line = new StringBuilder(what).append('\t');
    for (char one : text(found).toCharArray()) {
      line.append(one < ' ' || one == '\\' ? String.format("\\u%04x", (int) one) : String.valueOf(one));
    }
    OUT.println(line);
  }

  /** What a call gives, or what it throws. */
  static void tried(String what, Call call) {
    Object found;
    try {
      found = call.call();
    } catch (SQLException refusal) {
      found = "refused: " + refusal.getMessage();
    } catch (Exception | LinkageError thrown) {
      found = "thrown: " + thrown;
    }
    say(what, found);
  }

  static String text(Object found) {
    if (found == null) {
      return "null";
    }
    if (found instanceof byte[]) {
      StringBuilder text = new StringBuilder();
      for (byte one : (byte[]) found) {
        text.append(HEX[(one >> 4) & 15]).append(HEX[one & 15]);
      }
      return text.toString();
    }
    if (found instanceof java.sql.Array) {
      try {
        return text(((java.sql.Array) found).getArray());
      } catch (SQLException refusal) {
        return "refused: " + refusal.getMessage();
      }
    }
    if (found.getClass().isArray()) {
      List<String> items = new ArrayList<>();
      for (int at = 0; at < Array.getLength(found); at++) {
        items.add(text(Array.get(found, at)));
      }
      return items.toString();
    }
    if (found instanceof java.sql.Struct) {
      try {
        return text(((java.sql.Struct) found).getAttributes());
      } catch (SQLException refusal) {
        return "refused: " + refusal.getMessage();
      }
    }
    if (found instanceof List) {
      List<String> items = new ArrayList<>();
      for (Object item : (List<?>) found) {
        items.add(text(item));
      }
      return items.toString();
    }
    if (found instanceof Map) {
      Map<String, String> items = new TreeMap<>();
      for (Map.Entry<?, ?> item : ((Map<?, ?>) found).entrySet()) {
        items.put(text(item.getKey()), text(item.getValue()));
      }
      return items.toString();
    }
    if (found instanceof java.math.BigDecimal) {
      return ((java.math.BigDecimal) found).toPlainString();
    }
    return found.toString();
  }

  /** Every row of some columns, or of all: values joined by '|', rows in brackets. */
  static List<String> rows(ResultSet rows, String... columns) throws SQLException {
    ResultSetMetaData about = rows.getMetaData();
    List<String> found = new ArrayList<>();
    while (rows.next()) {
      List<String> row = new ArrayList<>();
      if (columns.length == 0) {
        for (int at = 1; at <= about.getColumnCount(); at++) {
          row.add(text(rows.getObject(at)));
        }
      }
      for (String column : columns) {
        row.add(text(rows.getObject(column)));
      }
      found.add(String.join("|", row));
    }
    rows.close();
    return found;
  }

  static List<String> labels(ResultSet rows) throws SQLException {
    return labels(rows.getMetaData());
  }

  static List<String> labels(ResultSetMetaData about) throws SQLException {
    List<String> found = new ArrayList<>();
    for (int at = 1; at <= about.getColumnCount(); at++) {
      found.add(about.getColumnLabel(at));
    }
    return found;
  }
}
