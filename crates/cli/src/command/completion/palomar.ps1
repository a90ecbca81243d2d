# Completion of palomar for PowerShell. The program itself knows all words: this script passes the
# line on and hands the answer over.

Register-ArgumentCompleter -Native -CommandName palomar -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object { $_.Extent.Text.Trim('"', "'") })
    $program = $words[0]
    $before = @($words | Select-Object -Skip 1)
    if ($wordToComplete -ne '' -and $before.Count -gt 0) {
        $before = @($before | Select-Object -First ($before.Count - 1))
    }
    # Old versions drop empty arguments, but not an empty pair of quotes.
    $current = if ($wordToComplete -eq '' -and $PSVersionTable.PSVersion -lt [version]'7.3') {
        '""'
    } else {
        $wordToComplete
    }
    $answer = @(& $program __complete @before $current 2>$null)
    if ($answer.Count -eq 0) { return }
    $directive = [int]($answer[-1].TrimStart(':'))
    $lines = @($answer | Select-Object -First ($answer.Count - 1))
    # Without a word to offer PowerShell offers files by itself; an empty one keeps it from that.
    if ($lines.Count -eq 0 -and ($directive -band 4)) { return '' }
    foreach ($line in $lines) {
        $word, $about = $line -split "`t", 2
        if (-not $about) { $about = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $about)
    }
}
