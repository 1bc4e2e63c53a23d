# What PSScriptAnalyzer and the parser say of PowerShell files, as one line of JSON per finding or name.
# For Windows PowerShell 5.1 as recorded on Server 2016, Server 2019 and Windows 10 1809.
param([string[]] $Path)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Import-Module -Name PSScriptAnalyzer

$profiles = @(
    'win-8_x64_10.0.14393.0_5.1.14393.2791_x64_4.0.30319.42000_framework'
    'win-8_x64_10.0.17763.0_5.1.17763.316_x64_4.0.30319.42000_framework'
    'win-48_x64_10.0.17763.0_5.1.17763.316_x64_4.0.30319.42000_framework'
)
$settings = @{
    Rules = @{
        PSUseCompatibleCommands = @{ Enable = $true; TargetProfiles = $profiles }
        PSUseCompatibleTypes    = @{ Enable = $true; TargetProfiles = $profiles }
        PSUseCompatibleSyntax   = @{ Enable = $true; TargetVersions = @('5.1') }
    }
}

function Write-Line {
    param([string] $Kind, [int] $Line, [string] $Name, [string] $Text)
    $fields = [ordered] @{ kind = $Kind; file = $script:File; line = $Line; name = $Name; text = $Text }
    [Console]::Out.WriteLine((ConvertTo-Json -InputObject $fields -Compress))
}

# Commands, functions, texts that name a program, and reasons of suppressions, from the syntax tree.
function Write-Name {
    $tokens = $null
    $errors = $null
    $tree = [Management.Automation.Language.Parser]::ParseFile($script:File, [ref] $tokens, [ref] $errors)
    foreach ($problem in $errors) {
        Write-Line -Kind 'finding' -Line $problem.Extent.StartLineNumber -Name 'Parser' -Text $problem.Message
    }
    foreach ($node in $tree.FindAll({ $true }, $true)) {
        $line = $node.Extent.StartLineNumber
        switch ($node.GetType().Name) {
            'FunctionDefinitionAst' { Write-Line -Kind 'function' -Line $line -Name $node.Name }
            'CommandAst' { if ($node.GetCommandName()) { Write-Line -Kind 'command' -Line $line -Name $node.GetCommandName() } }
            'StringConstantExpressionAst' { Write-Line -Kind 'text' -Line $line -Name $node.Value }
            'ExpandableStringExpressionAst' { Write-Line -Kind 'text' -Line $line -Name $node.Value }
            'AttributeAst' {
                if ($node.TypeName.Name -match 'SuppressMessage') {
                    $reason = $node.NamedArguments | Where-Object { $_.ArgumentName -eq 'Justification' }
                    Write-Line -Kind 'suppression' -Line $line -Name $node.PositionalArguments[0].Value -Text $(if ($reason) { $reason.Argument.Value })
                }
            }
        }
    }
}

foreach ($script:File in $Path) {
    foreach ($finding in @(Invoke-ScriptAnalyzer -Path $script:File -Settings $settings)) {
        Write-Line -Kind 'finding' -Line $finding.Line -Name $finding.RuleName -Text $finding.Message
    }
    Write-Name
}
