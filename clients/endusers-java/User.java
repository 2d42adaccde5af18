import java.util.List;
import java.util.Map;

/** An end user, whom only this application knows. */
record User(String name, String region, List<Integer> sees) {
    List<String> roles() { return List.of("agent"); }

    Map<String, String> attributes() { return Map.of("region", region); }
}
