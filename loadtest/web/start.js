// The start form: sends it, shows why it was refused, and goes to Locust's page when the test has started.
const form = document.getElementById("start");
const alertBox = document.getElementById("alert");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  alertBox.textContent = "";
  try {
    const answer = await fetch("./swarm", { method: "POST", body: new FormData(form) });
    const { success, message } = await answer.json();
    if (success) return; // the next look at the state leaves this page
    alertBox.textContent = message;
    alertBox.scrollIntoView({ block: "nearest" });
  } catch (error) {
    alertBox.textContent = `Locust does not answer (${error.message}). Is it still running?`;
  }
  button.disabled = false;
});

async function look() {
  try {
    const { tests, state } = await (await fetch("./tidemark/events")).json();
    if (tests > Number(form.dataset.tests) && state !== "ready") location.replace("./");
  } catch {
    // Submitting says that Locust is gone.
  }
}
setInterval(look, 400);
